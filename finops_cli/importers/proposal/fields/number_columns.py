"""Columns of numbers: the decimal mark of the file, and the numbers of a column."""

from __future__ import annotations

from decimal import Decimal

from finops_cli.importers.mapped_rows.number_text import US_MARKS, Marks
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Draft
from finops_cli.importers.proposal.values.decimal_marks import (
    Proof,
    choose_marks,
    prove,
    read_number,
    strip_number,
)
from finops_cli.importers.tables.table import CellFault

_MOST = 5
"""Five of six cells have to be numbers."""
_EUROPE = Marks(",", ".")


def is_number(column: Column) -> bool:
    """Return true when most cells of a column are numbers, under any decimal mark."""
    found = [
        isinstance(cell, Decimal) or (isinstance(cell, str) and bool(strip_number(text)[0]))
        for text, cell in zip(column.texts, column.cells, strict=True)
        if text and not isinstance(cell, CellFault)
    ]
    return bool(found) and sum(found) * (_MOST + 1) >= len(found) * _MOST


def numbers_of(draft: Draft, column: Column) -> list[Decimal | None]:
    """Return the number of each row of a column; None where a cell has none."""
    return [
        cell
        if isinstance(cell, Decimal)
        else (read_number(text, draft.marks) if text and isinstance(cell, str) else None)
        for text, cell in zip(column.texts, column.cells, strict=True)
    ]


def prove_file(draft: Draft) -> None:
    """Find the decimal mark of the file from all its numbers, or ask for it."""
    columns = [
        each
        for each in draft.columns
        if each.index not in draft.taken and not _is_name(each) and is_number(each)
    ]
    proof = prove(text for column in columns for text in column.untyped)
    marks = choose_marks(proof)
    if marks is not None:
        draft.marks = marks
        draft.marks_why = _explain(proof, marks)
        _doubt_columns(draft, columns, marks)
    elif proof.dot or proof.either_dot:
        _ask(draft, proof)
    elif proof.either_comma and draft.delimiter == ";":
        draft.marks_check = (
            f"{proof.either_comma[0]!r} is read as thousands, but the file has semicolons, as"
            " where the comma is decimal"
        )


def _is_name(column: Column) -> bool:
    """Return true for a column of references, whose marks are not those of numbers."""
    return "fail_id" in {match.field for match in column.meaning.matches}


def _explain(proof: Proof, marks: Marks) -> str:
    shown = (proof.comma or proof.dot)[0]
    return f"{shown!r} proves that {marks.decimal!r} is decimal"


def _doubt_columns(draft: Draft, columns: list[Column], marks: Marks) -> None:
    """Mark a column whose own cells do not prove the mark that another column proves."""
    if marks.decimal != ".":
        return
    for column in columns:
        own = prove(column.untyped)
        if own.either_dot and not own.dot:
            text = own.either_dot[0]
            draft.doubts[column.index] = (
                f"{text!r} is read as {read_number(text, marks)}, because other columns have a"
                " decimal point"
            )


def _ask(draft: Draft, proof: Proof) -> None:
    if proof.dot:
        why = f"{proof.dot[0]!r} has a decimal point and {proof.comma[0]!r} a decimal comma"
    else:
        why = f"{proof.either_dot[0]!r} may be a thousand times larger, and no cell decides"
    shown = (proof.either_dot or proof.comma)[0]
    choices = [
        f"{marks.describe()}  # {shown} is {_read(shown, marks)}" for marks in (US_MARKS, _EUROPE)
    ]
    draft.ask("numbers", why, *choices, is_required=True)


def _read(text: str, marks: Marks) -> str:
    number = read_number(text, marks)
    return "refused" if number is None else f"{number:f}"
