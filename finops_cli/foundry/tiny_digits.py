"""Written arithmetic for a tiny model: numbers of a fixed width, units first, one operation a line.

A digit of a sum or a difference follows from the two digits above it and the carry, which with units first are all written
already and stand at distances that never change. `33414-18632` is `41433000-23681000=28741000+`; the sign behind tells
whether the subtraction went below zero (then the digits are those of the ten's complement, as it is written out).

Division is by a table of multiples, one digit of the quotient a block (`divided`). The digit is guessed from the first two
digits of the divisor and the first three of what is divided, never too small; where it was too large the difference
is negative, and a block that adds the divisor back corrects it. So no step compares long numbers.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 8
"""Digits of a number in the working. Shares owed have one less at most, because a remainder is written times ten."""
LARGEST = 10 ** (WIDTH - 1) - 1
_GUESSED_FROM, _HEAD = 3, 2


def units_first(number: int) -> str:
    """`number` in `WIDTH` digits, units first. Raises ValueError when it is too large or negative."""
    if not 0 <= number < 10**WIDTH:
        raise ValueError(f"{number} does not fit into {WIDTH} digits")
    return f"{number:0{WIDTH}d}"[::-1]


def difference(a: int, b: int) -> str:
    """`a-b` worked out, with its sign."""
    return f"{units_first(a)}-{_taken_off(a, b)}"


def total(a: int, b: int) -> str:
    """`a+b` worked out."""
    return f"{units_first(a)}+{units_first(b)}={units_first(a + b)}"


def multiples(divisor: int) -> str:
    """The table by which `divided` divides: the first two digits of `divisor`, and one to nine times it."""
    rows = " ".join(f"{k}x{units_first(k * divisor)}" for k in range(1, 10))
    return f"{_head(divisor):0{_HEAD}d} {rows}"


class Divided(NamedTuple):
    """The working of a division, and its quotient rounded so that a half goes down."""

    working: str
    quotient: int


def divided(dividend: int, divisor: int, digits: int) -> Divided:
    """`digits` decimal digits of dividend / divisor, which is less than one, from a line that ends in `dividend` and its sign.

    A block: the first digits of the remainder times ten, the digit guessed, the multiple taken off, what remains and its sign.
    """
    if not 0 <= dividend < divisor:
        raise ValueError(f"{dividend} / {divisor} is not less than one")
    blocks, quotient, rest = [], 0, dividend
    for _ in range(digits):
        rest *= 10
        guess = _guessed(rest, divisor)
        blocks.append(f"{_first_digits(rest, divisor)}{guess}x{_taken_off(rest, guess * divisor)}")
        while guess * divisor > rest:
            guess -= 1
            left = (rest - guess * divisor) % 10**WIDTH
            sign = "+" if guess * divisor <= rest else "-"
            blocks.append(f"{guess}a{units_first(divisor)}={units_first(left)}{sign}")
        quotient, rest = quotient * 10 + guess, rest - guess * divisor
    rest *= 10
    half = (10 * divisor) // 2
    blocks.append(f"{_first_digits(rest, divisor)}5r{_taken_off(rest, half)}")
    return Divided("".join(blocks), quotient + (rest > half))


def _taken_off(a: int, b: int) -> str:
    """The second number of a subtraction, its result and its sign; 0 is told from what is more than 0."""
    sign = "-" if a < b else "0" if a == b else "+"
    return f"{units_first(b)}={units_first((a - b) % 10**WIDTH)}{sign}"


def _head(divisor: int) -> int:
    return int(f"{divisor}"[:_HEAD].ljust(_HEAD, "0"))


def _first_digits(rest: int, divisor: int) -> str:
    scale: int = 10 ** len(f"{divisor}")
    return f"{rest * 10**_HEAD // scale:0{_GUESSED_FROM}d}"


def _guessed(rest: int, divisor: int) -> int:
    """The largest digit that the first digits of both leave open."""
    return min(9, -(-(int(_first_digits(rest, divisor)) + 1) // _head(divisor)) - 1)
