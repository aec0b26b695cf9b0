"""Write out arithmetic for a tiny model, with numbers of a fixed width and units first.

With units first, a digit of a sum or a difference follows from two digits above it and the carry.
All three are already written, at constant distances. For example, 33414 minus 18632 is
`2368100|4143300>2874100+0014782 14782`:

2368100: the subtrahend, units first
4143300: the minuend, units first
2874100: the difference, units first
+: the sign of the difference; if it is negative, the digits are the ten's complement
0014782: the difference in reading order, as wide as before
14782: the difference without leading zeros

A model that had to drop the zeros in its answer did not learn it.

Division uses a table of multiples, with one quotient digit a block (`divide`). The digit is guessed
from the first two digits of the divisor and the first three of the dividend. The guess is never too
small. If it is too large, the difference is negative, and the next block adds the divisor back. So
no step compares long numbers.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 7
"""Number of digits of a number in a scratchpad.

Shares owed have at least one digit less, because a remainder is multiplied by ten.
"""
LARGEST, MOST = 999_999, 9_999_999
"""The largest number of shares owed that fits, and the largest number that can be written."""
_DIVIDEND_HEAD, _DIVISOR_HEAD = 3, 2
_FULL = MOST + 1
PLACES = "abcdefgh"
"""Letters for the digits of a quotient."""


def units_first(number: int) -> str:
    """Write `number` in `WIDTH` digits, units first.

    Raises ValueError if it is too large or negative.
    """
    return as_read(number)[::-1]


def as_read(number: int) -> str:
    """Write `number` in `WIDTH` digits in reading order.

    Raises ValueError if it is too large or negative.
    """
    if not 0 <= number < _FULL:
        raise ValueError(f"{number} does not fit into {WIDTH} digits")
    return f"{number:0{WIDTH}d}"


def render_comparison(taken: int, of: int) -> str:
    """Write out `of` minus `taken`, with its sign."""
    return (
        f"{units_first(taken)}|{units_first(of)}>{units_first((of - taken) % _FULL)}"
        f"{_sign(of - taken)}"
    )


def render_difference(taken: int, of: int) -> str:
    """Write out a comparison and, if the result is above 0, the result in reading order.

    The result is written twice: in all digits, and without leading zeros.
    """
    return render_comparison(taken, of) + (
        f"{as_read(of - taken)} {of - taken}" if of > taken else ""
    )


def render_sum(a: int, b: int) -> str:
    """Write out `a+b`."""
    return f"{units_first(a)}+{units_first(b)}>{units_first(a + b)}"


def render_multiples(divisor: int) -> str:
    """Write the multiples of `divisor` from one to nine, which `divide` uses."""
    return "".join(f"{k}x{units_first(k * divisor)}" for k in range(1, 10))


class Division(NamedTuple):
    """The scratchpad of a division, and its quotient. A half is rounded down."""

    working: str
    quotient: int


def divide(dividend: int, divisor: int, digits: int) -> Division:
    """Write out `digits` decimal digits of dividend / divisor. The quotient is less than one.

    A block contains the first digits of dividend and divisor, the letter of the place, the guessed
    digit, its multiple, the remainder of ten times the previous remainder, and its sign. The last
    block compares with a half by five times the divisor. All blocks have the same length, so that
    the distances between digits are constant.
    """
    if not 0 <= dividend < divisor:
        raise ValueError(f"{dividend} / {divisor} is not less than one")
    blocks, quotient, rest = [f"={units_first(dividend)}+"], 0, dividend
    for place in PLACES[:digits]:
        rest *= 10
        digit = _guess_digit(rest, divisor)
        blocks.append(
            f"{_dividend_head(rest, divisor)}{_divisor_head(divisor)}{place}{digit}x"
            f"{_left(rest, digit * divisor)}"
        )
        while digit * divisor > rest:
            digit -= 1
            result = rest - digit * divisor
            blocks.append(
                f"{place}{digit}y{units_first(divisor)}={units_first(result % _FULL)}"
                f"{_sign(result)}"
            )
        quotient, rest = quotient * 10 + digit, rest - digit * divisor
    rest *= 10
    half = (10 * divisor) // 2
    heads = f"{_dividend_head(rest, divisor)}{_divisor_head(divisor)}"
    blocks.append(f"{heads}{PLACES[digits]}5x{_left(rest, half)}")
    return Division("".join(blocks), quotient + (rest > half))


def _left(of: int, taken: int) -> str:
    return f"{units_first(taken)}={units_first((of - taken) % _FULL)}{_sign(of - taken)}"


def _sign(number: int) -> str:
    """Return `-`, `0` or `+`."""
    return "-" if number < 0 else "+" if number else "0"


def _divisor_head(divisor: int) -> str:
    return f"{divisor}"[:_DIVISOR_HEAD].ljust(_DIVISOR_HEAD, "0")


def _dividend_head(rest: int, divisor: int) -> str:
    scale: int = 10 ** len(f"{divisor}")
    return f"{rest * 10**_DIVISOR_HEAD // scale:0{_DIVIDEND_HEAD}d}"


def _guess_digit(rest: int, divisor: int) -> int:
    """Return the largest digit that the first digits of both numbers allow."""
    return min(9, -(-(int(_dividend_head(rest, divisor)) + 1) // int(_divisor_head(divisor))) - 1)
