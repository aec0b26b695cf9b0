"""Recognise CUSIPs, ISINs and DTC numbers by their form and check digits."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from finops_cli.domain import cusip
from finops_cli.importers.mapped_rows import repairs

_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?[Ee]\+?[0-9]{1,2}")
_ISIN = re.compile(r"[A-Z]{2}[0-9A-Z]{9}[0-9]")


class SecurityNumber(NamedTuple):
    """A CUSIP that a cell gives, and the repairs that lead to it."""

    cusip: str
    repairs: tuple[str, ...]


def read_security(text: str, forbidden: Collection[str] = ()) -> SecurityNumber | None:
    """Return the CUSIP of a cell; None where no named repair but the forbidden leads to one.

    Of eight digits that may be two CUSIPs, it is the one that lost a zero.
    """
    core = repairs.repair_text(text.strip(), frozenset(repairs.OF_TEXT))
    if cusip.is_valid(core.text):
        return SecurityNumber(core.text, core.names)
    found = repairs.repair_cusip(core.text, frozenset(repairs.OF_CUSIP) - set(forbidden))
    return SecurityNumber(found[0].text, (*core.names, *found[0].names)) if found else None


def is_isin(text: str) -> bool:
    """Return true for an ISIN of any country whose check digit is right."""
    return bool(_ISIN.fullmatch(text)) and repairs.has_isin_digit(text)


def is_scientific(text: str) -> bool:
    """Return true for `3.78331E+07`: a spreadsheet read the CUSIP as a number and lost digits."""
    return bool(_SCIENTIFIC.fullmatch(text.strip()))


def read_dtc(text: str) -> str | None:
    """Return DTC-NNNN for a number of up to four digits, with or without DTC before it."""
    core = repairs.repair_text(text.strip(), frozenset(repairs.OF_TEXT)).text
    if is_exact_dtc(core):
        return core
    found = repairs.repair_counterparty(core, frozenset([repairs.PAD_DTC]))
    return found[0].text if found else None


def is_exact_dtc(text: str) -> bool:
    """Return true for DTC-NNNN, which needs no repair."""
    return repairs.is_exact(text, "counterparty")


def unwrap(text: str) -> str:
    """Return the text of a cell without a formula around it, an apostrophe, hyphens or blanks."""
    core = repairs.repair_text(text.strip(), frozenset(repairs.OF_TEXT))
    return re.sub(r"[- ]", "", core.text)


def text_repairs(texts: Collection[str]) -> list[str]:
    """List the repairs of text that some of the cells need."""
    used = {name for text in texts for name in _names(text)}
    return [name for name in repairs.OF_TEXT if name in used]


def _names(text: str) -> tuple[str, ...]:
    return repairs.repair_text(text.strip(), frozenset(repairs.OF_TEXT)).names
