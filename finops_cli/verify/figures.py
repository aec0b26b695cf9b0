"""The numbers of a text, and which of them nothing bears out.

Figures are looked up by what they are worth, not by what they are said of. So it stays unseen when a figure is wrong where it
stands but true elsewhere ("aged 3 days" where 3 are the counterparty's points), or has a wrong unit, or is spelt out in words.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.domain.money import parse_usd

Known = frozenset[Decimal | str]
"""Numbers, and names that hold digits: those keep their text, so that DTC-0161 does not bear out 161 shares."""
_FIGURE = re.compile(
    r"(?P<whole>\d(?P<name>(?<=[^\W\d]\d)(?<![xX]\d)(?<!USD\d)|(?<=DTC[- ]\d))?"
    r"(?P<minus>(?<=-\d)(?<![\w.)%]-\d)(?<![\d%)] -\d)|(?<=-\$\d))?(?P<point>(?<=\.\d)(?<!\w\.\d))?"
    r"(?:(?P<cusip>(?=\d*[A-Z])[\dA-Z*@#]{7}\d(?![\w*@#]))|\d{0,2}(?:[,\u2009]\d{3}){1,9}(?!\d)|\d*))"
    r"(?P<fraction>\.\d+)?"
    r"(?:[ \u2009]?(?i:(?P<suffix>thousand|million|billion|mln|[kmb]|mm|mn|bn)(?!\w)|%|(?P<counted>d|days?|shs?|shares?)(?!\w)))?"
)
"""Begins with a digit, for which the search is fast; what may stand before it is asked from there."""
_WORD = re.compile(r"(?:DTC[- ]|[^\W\d]+)\Z")
_GROUPING = re.compile(r"[,\u2009]")
_AS_TYPED = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | dict.fromkeys("\xa0\u2007\u202f", "\u2009"))
_EXPONENT = {
    word: parse_usd(f"1{letter}").adjusted()
    for letter, words in (("K", "k thousand"), ("M", "m mm mn mln million"), ("B", "b bn billion"))
    for word in words.split()
}
_MARK = r"\bsteps? \d{1,2}(?: ?(?:-|&|and|to) ?\d{1,2})?(?![.,]?\w)|(?:\A|[.;:,] |\n)\d[.)](?=\s)|\(\d\)"
"""Step 2, steps 1-3, `1.` before what is first, `(2)`."""


class Figure(NamedTuple):
    """A number as it is written and what it is worth, down to its last digit; or a name that holds digits.

    Days and shares are `counted`: nobody rounds them.
    """

    text: str
    value: Decimal | str
    counted: bool = False


def figures(text: str) -> Iterator[Figure]:
    """Every number of `text`, exact: 12,000 $2.1M 3.5% -5000 T+13 12000sh. Names are L3, DTC-0161, 12345A106, 037833100."""
    if not text.isascii():
        text = text.translate(_AS_TYPED)
    for found in _FIGURE.finditer(text):
        whole, name, minus, point, cusip, fraction, suffix, counted = found.groups()
        if name is not None:
            word = _WORD.search(text, max(0, found.start() - limits.SHOWN_CHARS), found.start())
            written = f"{word[0] if word else ''}{whole}"
            yield Figure(written, written.removeprefix("DTC").lstrip("- "))
        elif cusip or (whole[0] == "0" and len(whole) > 1 and not fraction):
            yield Figure(whole, whole)
        else:
            signed = f"{'' if minus is None else '-'}{'' if point is None else '.'}{_GROUPING.sub('', whole)}{fraction or ''}"
            yield Figure(found[0], Decimal(f"{signed}E{_EXPONENT[suffix.lower()]}" if suffix else signed), counted is not None)


def known(*given: object) -> Known:
    """Every number in domain objects and lists of them, in their texts too; of a negative one also the amount."""
    found: set[Decimal | str] = set()
    _collect(given, found)
    return frozenset(found)


def _collect(value: object, found: set[Decimal | str]) -> None:
    if isinstance(value, str):
        found.update(figure.value for figure in figures(value))
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            _collect(getattr(value, name), found)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        found.update((number, number.copy_abs()))


def unknown_figures(text: str, known: Known, accepted: frozenset[str] = frozenset()) -> list[Figure]:
    """The figures of `text` that `known` does not hold, exactly or rounded half-up to where the figure ends.

    `accepted`: phrases whose numbers claim nothing (kb: `check.phrases`). Numbers of steps and of enumerations claim nothing.
    """
    if all(borne_out(figure, known) for figure in figures(text)):
        return []
    return [
        figure for figure in figures(_no_claims(accepted).sub(" ", text.translate(_AS_TYPED))) if not borne_out(figure, known)
    ]


@lru_cache(maxsize=10)
def _no_claims(accepted: frozenset[str]) -> re.Pattern[str]:
    """A phrase may have a blank for its hyphen, or none, and paragraphs after it: Rule 203(b)(3)."""
    phrases = (re.sub(r"\\[ -]", "[ -]?", re.escape(phrase)) for phrase in sorted(accepted, key=len, reverse=True))
    spelt = "".join(rf"|(?<![\w.,+$]){phrase}(?:\(\w{{1,2}}\))*(?![.,]?\d|\w)" for phrase in phrases)
    return re.compile(_MARK + spelt, re.IGNORECASE)


def borne_out(figure: Figure, known: Known) -> bool:
    value = figure.value
    if value in known or figure.text in known:
        return True
    if isinstance(value, str) or figure.counted:
        return False
    half = Decimal(1).scaleb(int(value.as_tuple().exponent)) / 2
    amounts, amount = _ascending(known, value < 0), value.copy_abs()
    place = bisect_left(amounts, amount - half)
    return place < len(amounts) and amounts[place] < amount + half


@lru_cache(maxsize=10)
def _ascending(known: Known, negative: bool) -> list[Decimal]:
    """The amounts of one sign. Sorted once, so that a text of thousands of wrong figures costs no more than itself."""
    return sorted(number.copy_abs() for number in known if isinstance(number, Decimal) and (number < 0) is negative)
