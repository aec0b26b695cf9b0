"""Writes out arithmetic for a tiny model: numbers of a fixed width, units first.

A digit of a sum or a difference follows from the two digits above it and the carry, which with
units first are all written already and stand at distances that never change. 33414 less 18632 is
`2368100|4143300>2874100+0014782 14782`: what is taken off, what it is taken off from, what stays,
the sign that tells whether it went below zero (then the digits are those of the ten's complement,
as it is written out), and what stays as one reads it: the other way round and as wide, so each
digit stands at a known distance, then without its zeros. An answer that had to leave the zeros out
by itself did not learn to.

Division is by a table of multiples, one digit of the quotient a block (`divide`). The digit is
guessed from the first two digits of the divisor and the first three of what is divided, never too
small; where it was too large the difference is negative, and a block that adds the divisor back
corrects it. So no step compares long numbers.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 7
"""Digits of a number in a scratchpad.

Shares owed have one digit less at most, because a remainder is written times ten.
"""
LARGEST, MOST = 999_999, 9_999_999
"""The most shares owed that a scratchpad has room for, and the largest number that it can write."""
_DIVIDEND_HEAD, _DIVISOR_HEAD = 3, 2
_FULL = MOST + 1
PLACES = "abcdefgh"
"""Letters for the digits of a quotient."""


def units_first(number: int) -> str:
    """`number` in `WIDTH` digits, units first.

    Raises ValueError when it is too large or negative.
    """
    return as_read(number)[::-1]


def as_read(number: int) -> str:
    """`number` in `WIDTH` digits. Raises ValueError when it is too large or negative."""
    if not 0 <= number < _FULL:
        raise ValueError(f"{number} does not fit into {WIDTH} digits")
    return f"{number:0{WIDTH}d}"


def render_comparison(taken: int, of: int) -> str:
    """Write out `of` less `taken`, with its sign."""
    return (
        f"{units_first(taken)}|{units_first(of)}>{units_first((of - taken) % _FULL)}"
        f"{_sign(of - taken)}"
    )


def render_difference(taken: int, of: int) -> str:
    """Write out a comparison and, if the result is above 0, the result in reading order.

    The result stands there twice: in all digits, and without leading zeros.
    """
    return render_comparison(taken, of) + (
        f"{as_read(of - taken)} {of - taken}" if of > taken else ""
    )


def render_sum(a: int, b: int) -> str:
    """Write out `a+b`."""
    return f"{units_first(a)}+{units_first(b)}>{units_first(a + b)}"


def render_multiples(divisor: int) -> str:
    """Write the table by which `divide` divides: one to nine times `divisor`."""
    return "".join(f"{k}x{units_first(k * divisor)}" for k in range(1, 10))


class Division(NamedTuple):
    """The scratchpad of a division, and its quotient, rounded so that a half goes down."""

    working: str
    quotient: int


def divide(dividend: int, divisor: int, digits: int) -> Division:
    """Write out `digits` decimal digits of dividend / divisor, which is less than one.

    A block: the first digits of what is divided and of the divisor, the letter of the place and the
    digit guessed for it, its multiple, what remains of ten times the remainder before, and the sign
    of that. The last block tells a half by five times the divisor. All have one length, so that
    each digit stands at a known distance.
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
    """Return `-`, `0` or `+`: zero has a sign of its own."""
    return "-" if number < 0 else "+" if number else "0"


def _divisor_head(divisor: int) -> str:
    return f"{divisor}"[:_DIVISOR_HEAD].ljust(_DIVISOR_HEAD, "0")


def _dividend_head(rest: int, divisor: int) -> str:
    scale: int = 10 ** len(f"{divisor}")
    return f"{rest * 10**_DIVISOR_HEAD // scale:0{_DIVIDEND_HEAD}d}"


def _guess_digit(rest: int, divisor: int) -> int:
    """Return the largest digit that the first digits of both numbers allow."""
    return min(9, -(-(int(_dividend_head(rest, divisor)) + 1) // int(_divisor_head(divisor))) - 1)
