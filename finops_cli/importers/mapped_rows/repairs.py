"""Repairs of cells that a mapping names: a repair that it does not name is not done.

Each repair leads to one value, or the cell stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from finops_cli.domain import cusip as cusips

PAD_DTC = "pad_dtc"
FORMULA_TEXT = "formula_text"
APOSTROPHE = "apostrophe"
HYPHENS = "hyphens"
LEADING_ZERO = "leading_zero"
CHECK_DIGIT = "check_digit"
US_ISIN = "us_isin"

DESCRIPTIONS = {
    FORMULA_TEXT: '="0352" is 0352, as a spreadsheet writes text that looks like a number',
    APOSTROPHE: "'0352 is 0352",
    PAD_DTC: "352, 0352, DTC352 and dtc-352 are DTC-0352",
    HYPHENS: "hyphens and blanks within a CUSIP: 037833-10-0 is 037833100",
    LEADING_ZERO: "a CUSIP of digits whose zeros are lost: 37833100 is 037833100",
    CHECK_DIGIT: "eight characters of a CUSIP: 03783310 is 037833100",
    US_ISIN: "an ISIN of the United States holds a CUSIP: US0378331005 is 037833100",
}
"""The repairs, in the order in which they are tried."""
OF_TEXT = (FORMULA_TEXT, APOSTROPHE)
OF_CUSIP = (HYPHENS, LEADING_ZERO, CHECK_DIGIT, US_ISIN)

_FORMULA = re.compile(r'="([^"]*)"')
_DTC = re.compile(r"(?:DTC[-_ #]*|#)?0{0,4}([0-9]{1,4})(?:\.0)?", re.IGNORECASE)
_DTC_CHARS = 4
_HYPHENS = re.compile("[-\N{NON-BREAKING HYPHEN}\N{EN DASH}\\s]")
_EIGHT = re.compile(r"[0-9A-Z*@#]{8}")
_ISIN = re.compile(r"US[0-9A-Z]{9}[0-9]")
_SCIENTIFIC = re.compile(
    r"[0-9](?:[.,][0-9]+)?E\+[0-9]{1,3}|[0-9][.,][0-9]+E[0-9]{1,3}", re.IGNORECASE
)
_FEWEST_DIGITS = 5
"""A number of fewer digits is not a CUSIP that lost its zeros."""
_CUSIP_CHARS = 9


class Repaired(NamedTuple):
    """A repaired text and the repairs that led to it."""

    text: str
    names: tuple[str, ...]


def repair_text(text: str, allowed: frozenset[str]) -> Repaired:
    """Take away what a spreadsheet writes around a text."""
    names: list[str] = []
    if FORMULA_TEXT in allowed and (found := _FORMULA.fullmatch(text)):
        text = found[1].strip()
        names.append(FORMULA_TEXT)
    if APOSTROPHE in allowed and text.startswith("'"):
        text = text[1:].strip()
        names.append(APOSTROPHE)
    return Repaired(text, tuple(names))


def repair_counterparty(text: str, allowed: frozenset[str]) -> list[Repaired]:
    """Return the participant number that `text` means, as DTC-NNNN; none where it is not one."""
    found = _DTC.fullmatch(text) if PAD_DTC in allowed else None
    number = "" if found is None else found[1].zfill(_DTC_CHARS)
    if not number.strip("0"):
        return []
    return [Repaired(f"DTC-{number}", (PAD_DTC,))]


def repair_cusip(text: str, allowed: frozenset[str]) -> list[Repaired]:
    """Return the valid CUSIPs that `text` may mean; none where no repair leads to one.

    Eight digits may be a CUSIP that lost its zero, and another one without its check digit.
    """
    bare = text
    names: tuple[str, ...] = ()
    if HYPHENS in allowed and (bare := _HYPHENS.sub("", text)) != text:
        names = (HYPHENS,)
        if cusips.is_valid(bare):
            return [Repaired(bare, names)]
    return [
        Repaired(cusip, (*names, name))
        for name, repair in _CUSIP_REPAIRS.items()
        if name in allowed
        for cusip in repair(bare)
    ]


def _restore_zeros(text: str) -> Iterator[str]:
    is_number = text.isascii() and text.isdigit()
    if is_number and _FEWEST_DIGITS <= len(text) < _CUSIP_CHARS:
        filled = text.zfill(_CUSIP_CHARS)
        if cusips.is_valid(filled):
            yield filled


def _complete(text: str) -> Iterator[str]:
    if _EIGHT.fullmatch(text):
        yield text + cusips.check_digit(text)


def _take_from_isin(text: str) -> Iterator[str]:
    if _ISIN.fullmatch(text) and has_isin_digit(text) and cusips.is_valid(text[2:11]):
        yield text[2:11]


_CUSIP_REPAIRS: dict[str, Callable[[str], Iterator[str]]] = {
    LEADING_ZERO: _restore_zeros,
    CHECK_DIGIT: _complete,
    US_ISIN: _take_from_isin,
}


def has_isin_digit(text: str) -> bool:
    """Return true when the last digit of an ISIN is right (ISO 6166: modulus 10, Luhn)."""
    digits = "".join(str(int(sign, 36)) for sign in text)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def is_scientific(text: str) -> bool:
    """Return true for 3.78331E+07: a spreadsheet read a CUSIP as a number, and digits are lost."""
    return _SCIENTIFIC.fullmatch(text) is not None


def list_fitting(text: str, given: frozenset[str], field: str) -> list[tuple[str, ...]]:
    """List the sets of repairs, beside those `given`, by which `field` could read `text`."""
    core = repair_text(text, frozenset(OF_TEXT))
    repair = _BY_FIELD.get(field)
    if repair is None:
        return [core.names] if set(core.names) - given else []
    if is_exact(core.text, field):
        return [core.names]
    found = repair(core.text, frozenset(DESCRIPTIONS))
    return [(*core.names, *each.names) for each in found if {*core.names, *each.names} - given]


def is_exact(text: str, field: str) -> bool:
    """Return true where `text` is a value of `field` that needs no repair."""
    if field == "counterparty":
        return _EXACT_DTC.fullmatch(text) is not None
    return cusips.is_valid(text)


_EXACT_DTC = re.compile(r"DTC-[0-9]{4}")
_BY_FIELD = {
    "counterparty": repair_counterparty,
    "cusip": repair_cusip,
    "corporate_action.new_cusip": repair_cusip,
}
"""The fields whose values have repairs of their own."""


def repair_value(text: str, allowed: frozenset[str], field: str) -> list[Repaired]:
    """Return the values of `field` that `text` may mean; the text itself where none is repaired."""
    repair = _BY_FIELD.get(field)
    if repair is None or is_exact(text, field):
        return [Repaired(text, ())]
    return repair(text, allowed) or [Repaired(text, ())]


def allowed_for(field: str) -> tuple[str, ...]:
    """Return the names of the repairs that a mapping may use for `field`."""
    own = {repair_counterparty: (PAD_DTC,), repair_cusip: OF_CUSIP}
    repair = _BY_FIELD.get(field)
    return (*OF_TEXT, *(own[repair] if repair else ()))
