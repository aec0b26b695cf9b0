"""Decide which column names the security, and the repairs that its cells need."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from finops_cli.domain import cusip
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Draft, count, show_values
from finops_cli.importers.proposal.values.identifiers import (
    SecurityNumber,
    is_isin,
    is_scientific,
    read_security,
    unwrap,
)

REPAIRS = ("formula_text", "apostrophe", "hyphens", "leading_zero", "check_digit", "us_isin")
_GUESSES = {"leading_zero", "check_digit"}
"""Repairs that make a CUSIP of what may be another number; only a header allows them."""
_NO_RANK = 1_000
_EIGHT = 8


class _Reading(NamedTuple):
    """A column that is read as the security."""

    column: Column
    rank: int
    numbers: list[SecurityNumber | None]
    """One for each filled cell."""

    @property
    def good(self) -> int:
        return sum(number is not None for number in self.numbers)


def decide_security(draft: Draft) -> None:
    """Propose the column that gives most CUSIPs; of two, the one with the better header."""
    readings = [reading for column in draft.columns if (reading := _read(draft, column))]
    readings.sort(key=lambda each: (-each.good, each.rank, each.column.index))
    if not readings:
        _ask(draft)
        return
    best = readings[0]
    repairs = Counter(repair for number in best.numbers if number for repair in number.repairs)
    used = [repair for repair in REPAIRS if repairs[repair]]
    draft.propose(
        "cusip",
        best.column,
        _explain(best, used, repairs),
        check=_doubt(draft, best, readings[1:], used),
        **({"repairs": used} if used else {}),
    )
    for other in readings[1:]:
        if other.rank < _NO_RANK:
            draft.notes.setdefault(
                other.column.index, f"the security is read from {best.column.name!r}"
            )
            draft.taken.setdefault(other.column.index, "")


def _read(draft: Draft, column: Column) -> _Reading | None:
    """Read a column as the security; None where it is something else."""
    ranks = [match.rank for match in column.meaning.matches if match.field == "cusip"]
    if column.is_blank or (not ranks and column.meaning.reason):
        return None
    forbidden = _forbid(column) if ranks else _GUESSES
    numbers = [read_security(text, forbidden) for text in column.filled]
    reading = _Reading(column, ranks[0] if ranks else _NO_RANK, numbers)
    if ranks:
        return reading if 2 * reading.good >= len(numbers) else None
    is_proven = reading.good == len(numbers)
    return reading if is_proven and len(column.distinct) >= draft.kb.imports.evidence_rows else None


def _forbid(column: Column) -> set[str]:
    """Return the guesses that the lengths of the cells speak against.

    A file gives eight characters of every CUSIP, or nine, of which a spreadsheet may have cut
    zeros. Never both: an eight-digit number would be two CUSIPs.
    """
    texts = [unwrap(text) for text in column.distinct]
    full = [text for text in texts if cusip.is_valid(text)]
    eights = [text for text in texts if len(text) == _EIGHT]
    zeros = [number for text in texts if (number := read_security(text)) and _has_zero(number)]
    if not full and len(eights) == len(texts) and len(zeros) < len(texts):
        return {"leading_zero"}
    return {"check_digit"}


def _has_zero(number: SecurityNumber) -> bool:
    return "leading_zero" in number.repairs


def _explain(best: _Reading, used: list[str], repairs: Counter[str]) -> str:
    column = best.column
    kind = "CUSIPs with the right check digit"
    if used == ["us_isin"]:
        kind = "US ISINs with the right check digit"
    why = f"{best.good} of {count(len(column.filled), 'cell')} are {kind}"
    if used and used != ["us_isin"]:
        why += f"; repaired: {', '.join(f'{repairs[each]} by {each}' for each in used)}"
    lost = [text for text in column.filled if is_scientific(text)]
    foreign = [
        text
        for text, number in zip(column.filled, best.numbers, strict=True)
        if number is None and is_isin(text)
    ]
    if lost:
        why += (
            f"; {count(len(lost), 'cell')} such as {lost[0]} lost digits in a spreadsheet and"
            " cannot be repaired: these rows are refused"
        )
    if foreign:
        why += f"; {show_values(foreign)} is not a US ISIN: such rows are refused"
    return why


def _doubt(draft: Draft, best: _Reading, others: list[_Reading], used: list[str]) -> str:
    """Say what speaks against the column; empty where nothing does."""
    needed = draft.kb.imports.evidence_rows
    for repair in used:
        if repair not in _GUESSES:
            continue
        shown = {
            text
            for text, number in zip(best.column.filled, best.numbers, strict=True)
            if number and repair in number.repairs
        }
        if repair == "check_digit":
            return "the cells have eight characters: are they CUSIPs without their check digit?"
        if len(shown) < needed:
            return f"is {show_values(sorted(shown))} a CUSIP that lost its leading zeros?"
    for other in others:
        differs = _differ(best, other)
        if differs and other.rank < _NO_RANK:
            return f"{differs}, and {other.column.name!r} gives another security"
    if best.rank == _NO_RANK and len(best.column.distinct) < needed:
        return "only the form of the values says so"
    return ""


def _differ(best: _Reading, other: _Reading) -> str:
    """Name the first cell whose row has another security in the other column."""
    theirs = dict(zip(_rows(other), other.numbers, strict=True))
    for row, number in zip(_rows(best), best.numbers, strict=True):
        another = theirs.get(row)
        if number and another and number.cusip != another.cusip:
            return f"the cell {best.column.texts[row]!r} is {number.cusip}"
    return ""


def _rows(reading: _Reading) -> list[int]:
    return [row for row, text in enumerate(reading.column.texts) if text]


def _ask(draft: Draft) -> None:
    others = [
        column.name
        for column in draft.columns
        if not column.is_blank and column.meaning.reason.startswith("another number")
    ]
    why = "no column has CUSIPs or US ISINs with the right check digit"
    if others:
        why += f"; {', '.join(others)} cannot be converted"
    draft.ask("cusip", why, "add a column of CUSIPs or ISINs to the file", is_required=True)
