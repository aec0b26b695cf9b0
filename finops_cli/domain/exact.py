"""Exact numbers of the input: Decimals that know their bounds.

JSON numbers reach them digit for digit, never as floats.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from finops_cli.domain import limits
from finops_cli.domain.money import AMOUNT_PATTERN, parse_usd


class Exact(Decimal):
    """A number from 0 to `high`, both included."""

    high: ClassVar[int]
    schema: ClassVar[dict[str, Any]]


class Usd(Exact):
    """US dollars; in JSON a number, or text as desks write it."""

    high = limits.USD
    schema: ClassVar[dict[str, Any]] = {
        "type": ["number", "string"],
        "minimum": 0,
        "maximum": limits.USD,
        "pattern": AMOUNT_PATTERN,
        "description": "US dollars, as a number or as text: $2.1M, $450K, $1,250,000",
    }


class Percent(Exact):
    """A percentage that may exceed 100."""

    high = limits.PERCENT
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": limits.PERCENT}


class RatePercent(Exact):
    """A share of a whole, in percent."""

    high = 100
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 100}


def exact(kind: type[Exact], given: object) -> Exact:
    """`given`, as JSON had it, as a number of `kind`.

    Raises ValueError for another type or a number out of bounds.
    """
    if type(given) is str and kind is Usd:
        given = parse_usd(given)
    if type(given) is not int and not isinstance(given, Decimal):
        raise ValueError("not a number")
    if 0 <= given <= kind.high:
        return kind(given)
    raise ValueError("out of bounds")
