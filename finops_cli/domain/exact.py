"""Exact numbers of the input: Decimals that know their bounds. JSON numbers reach them digit for digit, never as floats."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from finops_cli.domain import limits
from finops_cli.domain.money import AMOUNT_PATTERN, parse_usd


class Exact(Decimal):
    """A number from `low` to `high`, both included."""

    low: ClassVar[Decimal] = Decimal(0)
    high: ClassVar[Decimal]
    schema: ClassVar[dict[str, Any]]


class Usd(Exact):
    """US dollars; in JSON a number, or text as desks write it."""

    high = Decimal(limits.USD)
    schema: ClassVar[dict[str, Any]] = {
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": limits.USD,
        "pattern": AMOUNT_PATTERN,
        "description": "US dollars, as a number or as text: $2.1M, $450K, $1,250,000",
    }


class Percent(Exact):
    """A percentage that may exceed 100."""

    high = Decimal(limits.PERCENT)
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": limits.PERCENT}


class RatePercent(Exact):
    """A share of a whole, in percent."""

    high = Decimal(100)
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 100}


def exact(kind: type[Exact], given: object) -> Exact:
    """`given`, as JSON had it, as a number of `kind`. Raises ValueError for another type or a number out of bounds."""
    if type(given) is str and kind is Usd:
        number: Exact = Usd(parse_usd(given))
    elif type(given) is int or isinstance(given, Decimal):
        number = kind(given)
    else:
        raise ValueError("not a number")
    if kind.low <= number <= kind.high:
        return number
    raise ValueError("out of bounds")
