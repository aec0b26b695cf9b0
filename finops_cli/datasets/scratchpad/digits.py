"""Written arithmetic for a tiny model: numbers of a fixed width, units first, one operation a line.

A digit of a sum or a difference follows from the two digits above it and the carry, which with
units first are all written already and stand at distances that never change. 33414 less 18632 is
`2368100|4143300>2874100+0014782 14782`: what is taken off, what it is taken off from, what stays,
the sign that tells whether it went below zero (then the digits are those of the ten's complement,
as it is written out), and what stays as one reads it: the other way round and as wide, so each
digit stands at a known distance, then without its zeros. An answer that had to leave the zeros out
by itself did not learn to.

Division is by a table of multiples, one digit of the quotient a block (`divided`). The digit is
guessed from the first two digits of the divisor and the first three of what is divided, never too
small; where it was too large the difference is negative, and a block that adds the divisor back
corrects it. So no step compares long numbers.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 7
"""Digits of a number in the working.

Shares owed have one less at most, because a remainder is written times ten.
"""
LARGEST, MOST = 999_999, 9_999_999
"""The most shares owed that a working has room for, and the most that it has digits for."""
_GUESSED_FROM, _HEAD = 3, 2
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


def compared(taken: int, of: int) -> str:
    """`of` less `taken` worked out, with its sign."""
    return (
        f"{units_first(taken)}|{units_first(of)}>{units_first((of - taken) % _FULL)}"
        f"{_sign(of - taken)}"
    )


def difference(taken: int, of: int) -> str:
    """The same, and what stays as one reads it, where something stays: all digits, and without the
    zeros before it.
    """
    return compared(taken, of) + (f"{as_read(of - taken)} {of - taken}" if of > taken else "")


def total(a: int, b: int) -> str:
    """`a+b` worked out."""
    return f"{units_first(a)}+{units_first(b)}>{units_first(a + b)}"


def multiples(divisor: int) -> str:
    """The table by which `divided` divides: one to nine times `divisor`."""
    return "".join(f"{k}x{units_first(k * divisor)}" for k in range(1, 10))


class Divided(NamedTuple):
    """The working of a division, and its quotient rounded so that a half goes down."""

    working: str
    quotient: int


def divided(dividend: int, divisor: int, digits: int) -> Divided:
    """`digits` decimal digits of dividend / divisor, which is less than one.

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
        digit = _guessed(rest, divisor)
        blocks.append(
            f"{_first_digits(rest, divisor)}{_head(divisor)}{place}{digit}x"
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
    blocks.append(
        f"{_first_digits(rest, divisor)}{_head(divisor)}{PLACES[digits]}5x{_left(rest, half)}"
    )
    return Divided("".join(blocks), quotient + (rest > half))


def _left(of: int, taken: int) -> str:
    return f"{units_first(taken)}={units_first((of - taken) % _FULL)}{_sign(of - taken)}"


def _sign(number: int) -> str:
    """0 is told from what is more than 0."""
    return "-" if number < 0 else "+" if number else "0"


def _head(divisor: int) -> str:
    return f"{divisor}"[:_HEAD].ljust(_HEAD, "0")


def _first_digits(rest: int, divisor: int) -> str:
    scale: int = 10 ** len(f"{divisor}")
    return f"{rest * 10**_HEAD // scale:0{_GUESSED_FROM}d}"


def _guessed(rest: int, divisor: int) -> int:
    """The largest digit that the first digits of both leave open."""
    return min(9, -(-(int(_first_digits(rest, divisor)) + 1) // int(_head(divisor))) - 1)
