"""Find the arithmetic statements of a text and compute them again.

Statements are sums, products, percentages, min and max, and comparisons:

    32000-12000=20000    1200 + 800 = 2000 +700=2700 /32000=8.44%
    min(12000, 32000)=12000    4<=3 No

A calculation continues from its last result. A comparison without a verdict claims to be true.
Spaces do not matter. Numbers have no thousands separators: `12,000` reads as 12 and 0.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from finops_cli.domain import limits
from finops_cli.rules.ledger import coverage_pct

Number = int | Decimal
_DIGITS = rf"\d{{1,{limits.NUMBER_DIGITS}}}"
_N = rf"-?{_DIGITS}(?:\.{_DIGITS})?"
NUMBER = re.compile(rf"(?<![\w.]){_N}")
"""A number on its own, not the 1 of S1."""
_STATEMENT = re.compile(
    rf"\b(?P<extreme>min|max) ?\( *(?P<among>{_N}(?: *, *{_N})*) *\) *= *(?P<chosen>{_N})"
    rf"|(?<![\w.])(?P<left>{_N})%? *(?P<sign>[-+*/x\u00d7\u00f7\u2212]) *(?P<right>{_N})%? *="
    rf" *(?P<result>{_N})(?P<percent> ?%)?"
    rf"|(?<![\w.])(?P<smaller>{_N})%? *(?P<relation><=|>=|==|<|>|≤|≥) *(?P<larger>{_N})%?(?:["
    r" ,:;]*\b(?P<verdict>yes|no|true|false)\b)?",
    re.IGNORECASE,
)
_COMPARE: dict[str, Callable[[Number, Number], bool]] = {
    "<": operator.lt, "<=": operator.le, "≤": operator.le, ">": operator.gt, ">=": operator.ge,
    "≥": operator.ge, "==": operator.eq,
}  # fmt: skip
_DENIED = ("no", "false")


class Statement(NamedTuple):
    """An arithmetic statement of a text."""

    text: str
    start: int
    operands: tuple[Number, ...]
    result: Number | bool
    """The result that the text states."""
    gives: Number | bool | None
    """Compute the result of the operands; None if they have no result."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def is_true(self) -> bool:
        return self.gives == self.result


def number(text: str) -> Number:
    return Decimal(text) if "." in text else int(text)


def statements(line: str, decimals: int) -> Iterator[Statement]:
    """Yield every statement of `line` in order.

    Percentages are compared at `decimals` decimals, rounded half-up (kb: `plan.coverage`).
    """
    place = 0
    while (found := _STATEMENT.search(line, place)) is not None:
        place = found.start("result") if found["result"] else found.end()
        if found["extreme"]:
            yield _extreme(found)
        elif found["sign"]:
            yield _operation(found, decimals)
        else:
            yield _comparison(found)


def _extreme(found: re.Match[str]) -> Statement:
    among = tuple(number(text.strip()) for text in found["among"].split(","))
    choose = min if found["extreme"].lower() == "min" else max
    return Statement(
        text=found[0],
        start=found.start(),
        operands=among,
        result=number(found["chosen"]),
        gives=choose(among),
    )


def _operation(found: re.Match[str], decimals: int) -> Statement:
    left, right, sign = number(found["left"]), number(found["right"]), found["sign"]
    gives: Number | None
    if sign in "/\u00f7":
        gives = _quotient(left, right, decimals if found["percent"] else None)
    elif sign == "+":
        gives = left + right
    else:
        gives = left - right if sign in "-\u2212" else left * right
    return Statement(
        text=found[0],
        start=found.start(),
        operands=(left, right),
        result=number(found["result"]),
        gives=gives,
    )


def _quotient(left: Number, right: Number, decimals: int | None) -> Number | None:
    if not right:
        return None
    if decimals is None:
        quotient = Decimal(left) / Decimal(right)
        return quotient if quotient * right == left else None
    if left < 0 or right < 0 or left != int(left) or right != int(right):
        return None
    return coverage_pct(int(left), int(right), decimals)


def _comparison(found: re.Match[str]) -> Statement:
    left, right = number(found["smaller"]), number(found["larger"])
    claimed = (found["verdict"] or "").lower() not in _DENIED
    return Statement(
        text=found[0],
        start=found.start(),
        operands=(left, right),
        result=claimed,
        gives=_COMPARE[found["relation"]](left, right),
    )
