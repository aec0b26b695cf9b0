"""Reads the numbers of a sentence as a reader with a calculator would, from the text alone. It
shares no code with the generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

_A = r"(?:\$|EUR )?\d[\d,]*(?:\.\d+)?(?: (?:million|billion|percent)\b)?"
_UP = [
    "rose",
    "climbed",
    "increased",
    "grew",
    "advanced",
    "raising",
    "raised",
    "raise",
    "lifts",
    "widened",
    "up",
    "above",
    "jumped",
    "expanded",
    "accelerated",
    "moved higher",
    "surged",
    "soared",
    "went up",
    "swelled",
]
_UP += ["fault"]  # hard to find fault with, hard to defend
_DOWN = [
    "fell",
    "declined",
    "decreased",
    "dropped",
    "down",
    "narrowed",
    "cutting",
    "cuts",
    "reduced",
    "shrank",
    "below",
    "slipped",
    "eased",
    "contracted",
    "moved lower",
    "lower",
    "slid",
    "sank",
    "tumbled",
    "went down",
]
_DOWN += ["defend"]
_DIRECTION = re.compile(rf"\b({'|'.join(_UP + _DOWN)})\b")
_FROM_TO = [
    rf"from (?P<a>{_A}) to (?P<b>{_A})",
    rf"\bto (?P<b>{_A})\b[^$]{{0,60}}?, (?:from|compared with) (?P<a>{_A})",
    rf"to (?P<b>{_A}) from (?P<a>{_A})",
    rf"(?P<b>{_A}), (?:up|down) from (?P<a>{_A})",
    rf"(?P<b>{_A})(?: per share)?[^$]{{0,40}}?, (?:well )?(?:above|below) the (?P<a>{_A})",
    rf"pencilled in (?P<a>{_A}) per share and were handed (?P<b>{_A})",
]
_SAME = [
    (
        rf"(?P<b>{_A})[^$]{{0,60}}?(?:the same as the|unchanged from|against|exactly the|where it stood"  # noqa: E501
        rf" at) (?P<a>{_A})"
    )
]
_NO_NEWS = "went from"


def amount(text: str) -> Decimal:
    return Decimal(re.sub(r"[^\d.]", "", text))


def find_errors(text: str) -> list[str] | None:
    """Return what is wrong with the two values of `text`, or None if it does not have two."""
    for pattern in _SAME:
        if found := re.search(pattern, text):
            return (
                []
                if amount(found["a"]) == amount(found["b"])
                else ["two values that are said to be the same differ"]
            )
    if found := re.search(
        rf"of the (?P<a>{_A}) shares we .*?deliver(?:ed)? (?P<b>{_A}).*(?:balance of|missing)"
        rf" (?P<c>{_A})",
        text,
    ):
        whole, part, rest = (amount(found[name]) for name in "abc")
        return [] if 0 < part < whole and part + rest == whole else ["the parts do not add up"]
    for pattern in _FROM_TO:
        if found := re.search(pattern, text):
            return list(_errors(text, found, amount(found["a"]), amount(found["b"])))
    return None


def _errors(text: str, found: re.Match[str], a: Decimal, b: Decimal) -> Iterator[str]:
    if _unit(found["a"]) != _unit(found["b"]):
        yield "two values in different units"
    words = _DIRECTION.findall(text[: found.start("a")]) if _NO_NEWS not in text else []
    if not words and _NO_NEWS not in text:
        yield "no word tells the direction"
    if words and (b > a) != (words[-1] in _UP):
        yield f"{words[-1]}, but from {a} to {b}"
    before = text[max(0, found.start() - 60) : found.start()]
    if change := re.search(r"([\d,]+\.\d) percent,? $", before):
        exact = (100 * abs(b - a) / a).quantize(Decimal("0.1"), ROUND_HALF_UP)
        if amount(change[1]) != exact:
            yield f"{change[1]} percent, but it is {exact}"
    if (gap := re.search(rf"by ({_A}), $", before)) and amount(gap[1]) != abs(b - a):
        yield f"by {gap[1]}, but it is {abs(b - a)}"
    if (points := re.search(r"by (\d+) basis points, $", before)) and amount(
        points[1]
    ) != 100 * abs(b - a):
        yield f"by {points[1]} basis points, but it is {100 * abs(b - a)}"


def _unit(text: str) -> str:
    return re.sub(r"[\d.,]", "", text)
