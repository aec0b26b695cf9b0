"""Find the numbers of a text that no known number supports.

Numbers are looked up by value, not by meaning. So the check misses a number that is wrong in its
sentence but true elsewhere ("aged 3 days" where 3 are the counterparty's points), a wrong unit, and
a number in words.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.domain.cusip import PATTERN as CUSIP
from finops_cli.domain.money import parse_usd

Known = frozenset[Decimal | str]
"""Known numbers.

The set contains numbers; texts of names with digits, so that DTC-0161 does not support 161 shares;
and the units of zeros, such as `0 days`.
"""
_WORDS_OF = {"days": "d day days", "shares": "sh shs share shares", "percent": "% percent pct"}
_UNITS = {word: unit for unit, words in _WORDS_OF.items() for word in words.split()}
_UNIT = (
    r"[- \u2009]?(?i:(?:(?:settlement|business|trading|calendar)"
    r" )?(?:days?|d|shs?|shares?|percent|pct)(?!\w)|%)"
)
_FIGURE = re.compile(
    r"(?P<whole>\d(?P<name>(?<=[^\W\d]\d)(?<![xX]\d)(?<!USD\d)|(?<=DTC[- ]\d))?"
    r"(?P<minus>(?<=-\d)(?<![\w.)%]-\d)(?<![\d%)] -\d)|(?<=-\$\d))?(?P<point>(?<=\.\d)(?<!\w\.\d))?"
    r"(?P<usd>(?<=\$\d)|(?<=\$[ .-]\d)|(?<=USD\d)|(?<=USD \d))?"
    r"(?:(?P<cusip>(?=\d*[A-Z])[\dA-Z*@#]{7}\d(?![\w*@#]))|\d{0,2}(?:[,\u2009]\d{3}){1,9}"
    r"(?!\d)|\d*))"
    r"(?P<fraction>\.\d+)?(?:[eE]\+?(?P<exponent>\d{1,2})(?!\w))?"
    r"(?:[ \u2009]?(?i:(?P<suffix>thousand|million|billion|mln|[kmb]|mm|mn|bn)(?!\w)))?"
    rf"(?P<unit>{_UNIT})?"
)
"""A number.

The pattern begins with a digit, because that search is fast. Lookbehinds then test the text before
the digit.
"""
_WORD = re.compile(r"(?:DTC[- ]|[^\W\d]+)\Z")
_UNIT_WORD = re.compile(r"(?:%|[a-z]+)\Z")
_GROUPING = re.compile(r"[,\u2009]")
_LOOSE = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:(?: \d{3})+|(?:['\u2019]\d{3})+)(?!\d)")
"""Numbers such as 32 000 and 12'000, which may be two numbers."""
_AS_TYPED = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
    | dict.fromkeys("\xa0\u2007\u202f", "\u2009")
    | dict.fromkeys("\xad\u200b\u200c\u200d\u2060\ufe0f\ufeff", "")
)
_EXPONENT = {
    word: parse_usd(f"1{letter}").adjusted()
    for letter, words in (("K", "k thousand"), ("M", "m mm mn mln million"), ("B", "b bn billion"))
    for word in words.split()
}
_OF_FIELD = {
    name: unit
    for unit, names in (
        ("days", "age_days depot_transit_days"),
        ("shares", "box_qty stock_loan_available recall_outstanding pending_receives cns_position"),
        ("percent", "inventory_coverage_pct cp_fail_rate_pct security_fail_rate_pct_adv"),
        ("usd", "market_value"),
    )
    for name in names.split()
}
"""The unit of a field that is 0.

A field that is 0 if absent (`depot_qty`, the `qty` of a notice) has no unit here.
"""
_LEFT = r"residual|remain\w*|uncover\w+|unsourced|missing|short|shortfall|gap"
_LEFT_BEFORE = re.compile(rf"\b(?:{_LEFT}|leav\w+)[ :=]+(?:\w+[ :=]+){{0,2}}\Z", re.IGNORECASE)
_LEFT_AFTER = re.compile(rf" (?:\w+ ){{0,2}}(?:{_LEFT}|left)\b", re.IGNORECASE)
"""Words for shares that stay uncovered: only next to them do 0 shares need no other 0."""
_STEPS = rf"\bsteps? \d{{1,2}}(?: ?(?:-|&|and|to) ?\d{{1,2}})?(?![.,]?\w)(?!{_UNIT})"
"""References to steps: step 2, steps 1-3."""
_MARK = re.compile(
    r"(?:(?:(?P<line>\A|\n)[ \t]*|(?P<after>[.;:,])"
    r" {1,2})(?P<number>\d{1,2})(?P<end>[.)])(?=\s)|(?<![\w)])\((?P<inner>\d{1,2})\))"
    rf"(?!{_UNIT})"
)
"""Marks of lists: `1.` and `1)` at the start of a line or a clause, and `(2)`."""


class QuotedNumber(NamedTuple):
    """A number as written, or a name with digits."""

    text: str
    value: Decimal | str
    """The value, down to its last digit."""
    unit: str = ""
    """`days`, `shares`, `percent` or `usd`; for a 0 also `left`: shares that stay uncovered.

    Days and shares are never rounded.
    """


def read_numbers(text: str) -> Iterator[QuotedNumber]:
    """Yield every number of `text` exactly: 12,000 $2.1M 3.5% -5000 T+13 12000sh.

    Names are L3, DTC-0161, 12345A106, 037833100. Other characters that Unicode counts as numbers
    (\u00bd, \u2467) are names that nothing supports.
    """
    if not text.isascii():
        text = text.translate(_AS_TYPED)
        yield from (
            QuotedNumber(sign, sign) for sign in text if sign.isnumeric() and not sign.isdecimal()
        )
    for found in _FIGURE.finditer(text):
        whole, name, minus, point, usd, cusip, fraction, exponent, suffix, unit = found.groups()
        written = found[0] if usd is None else f"${found[0]}"
        if name is not None:
            word = _WORD.search(text, max(0, found.start() - limits.SHOWN_CHARS), found.start())
            written = f"{word[0] if word else ''}{whole}"
            yield QuotedNumber(written, written.removeprefix("DTC").lstrip("- "))
        elif cusip or (whole[0] == "0" and len(whole) > 1 and not fraction):
            yield QuotedNumber(written, written)
        else:
            signed = (
                f"{'' if minus is None else '-'}{'' if point is None else '.'}"
                f"{_GROUPING.sub('', whole)}{fraction or ''}"
            )
            value = Decimal(
                f"{signed}E{int(exponent or 0) + (_EXPONENT[suffix.lower()] if suffix else 0)}"
            )
            counted = (
                "usd" if usd is not None else _unit(unit) if unit and not (suffix and value) else ""
            )
            yield QuotedNumber(
                written,
                value,
                counted if value else _of_zero(counted, text, found.start(), found.end()),
            )


def _unit(written: str) -> str:
    word = _UNIT_WORD.search(written.lower())
    return _UNITS[word[0]] if word else ""


def _of_zero(unit: str, text: str, start: int, end: int) -> str:
    """Return the unit of a 0.

    T+0 is a day. A residual of 0, and 0 shares that remain, are more than 0 shares.
    """
    if not unit and text.endswith("T+", 0, start):
        return "days"
    if unit in ("", "shares") and _LEFT_BEFORE.search(
        text, max(0, start - limits.SHOWN_CHARS), start
    ):
        return "left"
    return "left" if unit == "shares" and _LEFT_AFTER.match(text, end) else unit


def known_numbers(*given: object, **measured: Iterable[Decimal | int]) -> Known:
    """Collect every number in domain objects and lists of them, including their texts.

    A negative number is also known by its amount. `measured` has numbers by unit, so that a 0 gets
    its unit. A `fail_id` and an all-digit CUSIP are names, not numbers.
    """
    found: set[Decimal | str] = set()
    _collect(given, found)
    for unit, numbers in measured.items():
        for number in numbers:
            _collect(number, found, unit)
    return frozenset(found)


def _collect(value: object, found: set[Decimal | str], unit: str = "") -> None:
    if isinstance(value, str):
        for figure in read_numbers(value):
            if isinstance(figure.value, str) or re.match(CUSIP, figure.text):
                found.add(figure.text if isinstance(figure.value, Decimal) else figure.value)
            else:
                _collect(figure.value, found, figure.unit)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            if name != "fail_id":
                _collect(getattr(value, name), found, _OF_FIELD.get(name, ""))
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        found.update((number, number.copy_abs()))
        if unit and not number:
            found.add(f"0 {unit}")


def unsupported_numbers(
    text: str, known_numbers: Known, accepted: frozenset[str] = frozenset(), name: str | None = None
) -> list[QuotedNumber]:
    """Return the numbers of `text` that are not in `known_numbers`, exactly or rounded half-up.

    `accepted` are phrases whose numbers are not claims (kb: `check.phrases`). Numbers of steps and
    of lists, and the `name` of the fail, are not claims.
    """
    if all(is_supported(figure, known_numbers) for figure in read_numbers(text)):
        return []
    claims = _LOOSE.sub(
        lambda found: _joined(found[0], known_numbers), strip_phrases(text, accepted, name)
    )
    return [figure for figure in read_numbers(claims) if not is_supported(figure, known_numbers)]


def strip_phrases(text: str, accepted: frozenset[str], name: str | None = None) -> str:
    """Remove from `text` the numbers that claim nothing.

    They are those of steps and lists, the `accepted` phrases (kb: `check.phrases`), and the `name`
    of the fail.
    """
    claims = _unlisted(text.translate(_AS_TYPED))
    if name and name in claims:
        claims = re.sub(rf"(?<![\w.,+$-]){re.escape(name)}(?![.,]?\d|\w)(?!{_UNIT})", " ", claims)
    lowered = claims.lower()
    if not any(start in lowered for start in _starts(accepted)):
        return claims  # the search below takes 0.2 ms, and few texts have a phrase
    return _no_claims(accepted).sub(" ", claims)


@lru_cache(maxsize=10)
def _starts(accepted: frozenset[str]) -> frozenset[str]:
    """Return the first letters of accepted phrases and of references to steps."""
    return frozenset(("step", *(re.split(r"[ -]", phrase.lower())[0] for phrase in accepted)))


def _joined(written: str, known_numbers: Known) -> str:
    digits = re.sub(r"\D", "", written)
    return digits if Decimal(digits) in known_numbers else written


def _unlisted(text: str) -> str:
    """Remove the marks of lists from `text`.

    A mark at the start of a line may be any number. Other marks count up from 1, and there are at
    least two.
    """
    lists: list[list[re.Match[str]]] = []
    rising: dict[str, list[re.Match[str]]] = {}
    for mark in _MARK.finditer(text):
        kind, number = mark["end"] or "()", int(mark["number"] or mark["inner"])
        if number == 1:
            rising[kind] = [mark]
            lists.append(rising[kind])
        elif number == len(rising.get(kind, [])) + 1 and mark["after"] != ":":
            rising[kind].append(mark)
        elif mark["line"] is not None and len(mark["number"]) == 1:
            lists.append([mark])
    marks = [
        mark for marks in lists if len(marks) > 1 or marks[0]["line"] is not None for mark in marks
    ]
    kept, end = [], 0
    for mark in sorted(marks, key=re.Match.start):
        kept.append(text[end : mark.start()])
        end = mark.end()
    return "; ".join((*kept, text[end:]))


@lru_cache(maxsize=10)
def _no_claims(accepted: frozenset[str]) -> re.Pattern[str]:
    """Match an accepted phrase with a space or nothing for its hyphen, and paragraphs after it.

    For example, Rule 203(b)(3). A phrase before a unit is a claim.
    """
    phrases = (
        re.sub(r"\\[ -]", "[ -]?", re.escape(phrase))
        for phrase in sorted(accepted, key=len, reverse=True)
    )
    ends = rf"(?:\((?:[a-z]{{1,3}}|\d)\))*(?![.,]?\d|\w)(?!(?<=\d){_UNIT})"
    return re.compile(
        _STEPS + "".join(rf"|(?<![\w.,+$]){phrase}{ends}" for phrase in phrases), re.IGNORECASE
    )


def is_supported(figure: QuotedNumber, known_numbers: Known) -> bool:
    """Test if a number is known.

    No number rounds to 0, and a 0 with a unit needs a 0 of that unit.
    """
    value = figure.value
    if not value:
        return (f"0 {figure.unit}" if figure.unit else value) in known_numbers
    if value in known_numbers or figure.text in known_numbers:
        return True
    if isinstance(value, str) or figure.unit in ("days", "shares"):
        return False
    half = Decimal(1).scaleb(int(value.as_tuple().exponent)) / 2
    amounts, amount = _ascending(known_numbers, value < 0), value.copy_abs()
    place = bisect_left(amounts, amount - half)
    return place < len(amounts) and amounts[place] < amount + half


@lru_cache(maxsize=10)
def _ascending(known_numbers: Known, negative: bool) -> list[Decimal]:
    """Return the amounts of one sign, sorted.

    Sorting once keeps texts with thousands of wrong numbers fast.
    """
    return sorted(
        number.copy_abs()
        for number in known_numbers
        if isinstance(number, Decimal) and (number < 0) is negative
    )
