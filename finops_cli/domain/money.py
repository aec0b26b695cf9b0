"""Amounts and percentages as desks write them: `$2.1M`, `$450K`, `$1,250,000`, `4%`.

Exact both ways.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

from finops_cli.domain import limits

AMOUNT_PATTERN = (
    r"^ *\$? *([0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,30})(\.[0-9]{1,30})? *([KMBkmb]?) *$"
)
_AMOUNT = re.compile(AMOUNT_PATTERN)
_PERCENT = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*%?")
_SCALE = {"": Decimal(1), "K": Decimal(10) ** 3, "M": Decimal(10) ** 6, "B": Decimal(10) ** 9}

_ZERO = Decimal(0)
_SANE_DIGITS = 60
_CENT_DIGITS = 2
_THOUSAND, _MILLION = 1_000, 1_000_000
_THREE_DIGITS = [f"{number:03}" for number in range(_THOUSAND)]

AMOUNT_ACCEPTED = "a number of US dollars of at least 0, or text such as $2.1M, $450K, $1,250,000"
PERCENT_ACCEPTED = "a percentage of at least 0, such as 4 or 4%"


def parse_usd(text: str) -> Decimal:
    """Parse an amount of US dollars. Raises ValueError for other text."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(AMOUNT_ACCEPTED)
    whole, fraction, scale = found.groups()
    return Decimal(whole.replace(",", "") + (fraction or "")) * _SCALE[scale.upper()]


def parse_percent(text: str) -> Decimal:
    """Parse a percentage, with or without its sign. Raises ValueError for other text."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(PERCENT_ACCEPTED)
    return Decimal(found.group(1))


def plain(number: Decimal) -> str:
    """Write `number` without an exponent or trailing zeros: 2.10 is 2.1, 1E+3 is 1000."""
    if abs(number.adjusted()) > _SANE_DIGITS:
        return str(number)  # written out, 1e-999999999 would not fit into memory
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def render_usd(amount: Decimal) -> str:
    """Write an amount as desks do, so that `parse_usd` gives it back: $2.1M, $450K, $1,234.50."""
    text = plain(amount)
    whole, point, fraction = text.partition(".")
    if not point:
        suffix, digits = ("M", 2) if amount >= _SCALE["M"] else ("K", 1)
        scaled = amount / _SCALE[suffix]
        if scaled >= 1 and scaled == round(scaled, digits):
            return f"${plain(scaled)}{suffix}"
    return f"${int(whole):,}{point}{fraction.ljust(_CENT_DIGITS, '0') if point else ''}"


@lru_cache(maxsize=16)
def last_place(decimals: int) -> Decimal:
    """The value of the last of `decimals` places: 0.01 for two. Times 125 it is 1.25."""
    return Decimal(1).scaleb(-decimals)


def render_quantity(qty: int) -> str:
    """Write a number of shares with commas, such as 32,000."""
    if qty < 0 or qty >= _MILLION:
        return f"{qty:,}"
    if qty < _THOUSAND:
        return str(qty)
    return f"{qty // _THOUSAND},{_THREE_DIGITS[qty % _THOUSAND]}"


class Exact(Decimal):
    """A number from 0 to `high`, both included."""

    high: ClassVar[int]
    highest: ClassVar[Decimal]
    """`high`, for a comparison with a Decimal."""
    schema: ClassVar[dict[str, Any]]


class Usd(Exact):
    """US dollars; in JSON a number, or text as desks write it."""

    high = limits.USD
    highest = Decimal(high)
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
    highest = Decimal(high)
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": limits.PERCENT}


class RatePercent(Exact):
    """A proportion in percent, from 0 to 100."""

    high = 100
    highest = Decimal(high)
    schema: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 100}


class Fraction(Usd, Percent, RatePercent):
    """A number with a fraction as a decoder makes it. It is of every kind, because the decoder
    knows no field; `exact` holds it against the bounds of its field.
    """


def exact(kind: type[Exact], given: object) -> Exact:
    """Convert a value from JSON to a number of `kind`.

    Raises ValueError for another type or a number out of bounds.
    """
    if type(given) is Fraction:  # nearly all numbers; it is of every kind
        if _ZERO <= given <= kind.highest:  # two Decimals are compared in half the time
            return given
    elif type(given) is int:
        if 0 <= given <= kind.high:
            return kind(given)
    else:
        number = parse_usd(given) if type(given) is str and kind is Usd else given
        if not isinstance(number, Decimal):
            raise ValueError("not a number")
        if _ZERO <= number <= kind.highest:
            return number if isinstance(number, kind) else kind(number)
    raise ValueError("out of bounds")
