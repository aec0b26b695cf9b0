"""Owners and comments that a desk filled into a workbook, and the next workbook."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from finops_cli.errors import UsageError
from finops_cli.views.exports.kept_notes import KeptNotes
from tests.views.exports.reports import workbook_of
from tests.views.exports.test_workbook import rows_of
from tests.views.test_answer_index import line
from tests.views.test_changes import CLOCK

openpyxl = pytest.importorskip("openpyxl")
NOON = datetime(2026, 11, 20, 12)  # noqa: DTZ001 - a cell of a sheet


def fill(data: bytes, path: Path, notes: dict[str, tuple[Any, Any]], sheet: str = "List") -> None:
    """Save the workbook with owner and comment of each fail, as a program of the desk does."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    columns = {cell.value: cell.column for cell in book[sheet][1]}
    for row in range(2, book[sheet].max_row + 1):
        name = book[sheet].cell(row, columns["Fail"]).value
        for title, value in zip(("Owner", "Comment"), notes.get(name, ()), strict=False):
            cell = book[sheet].cell(row, columns[title])
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"
    book.save(path)


@contextmanager
def kept(path: Path) -> Iterator[KeptNotes]:
    """Read the notes of a workbook."""
    with closing(KeptNotes(path)) as notes:
        yield notes


def notes_of(data: bytes, sheet: str = "List") -> dict[str, tuple[Any, Any]]:
    """Return owner and comment of each fail that has one."""
    rows = rows_of(data, sheet)
    found = {row["Fail"]: (row["Owner"], row["Comment"]) for row in rows}
    return {name: note for name, note in found.items() if note != (None, None)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "comment",
    [
        "called, waits for the box",
        "=1+1 said the client",
        "first line\nsecond line",
        "-5",
        "007",
        12.5,
        -3,
        True,
        NOON,
        datetime(2026, 11, 20),  # noqa: DTZ001 - the day of a sheet
    ],
)
def test_comment_comes_back_as_it_was(comment: Any, tmp_path: Path) -> None:
    """A text stays a text, a number a number, a day a day; three days later too."""
    path = tmp_path / "day.xlsx"
    fill(workbook_of([line("A"), line("B")]), path, {"A": ("Ann", comment)})
    for _ in range(3):
        with kept(path) as notes:
            data = workbook_of([line("B"), line("A")], kept=notes)
            assert (notes.filled, notes.carried) == (1, 1)
        assert notes_of(data) == {"A": ("Ann", comment)}
        assert rows_of(data, "Gone") == []
        path.write_bytes(data)


def test_comments_of_fails_that_are_gone_stay(tmp_path: Path) -> None:
    """They go to the sheet Gone, stay there, and return with their fail."""
    path = tmp_path / "day.xlsx"
    fill(workbook_of([line("A"), line("B", cusip="037833100")]), path, {"A": ("Ann", "call")})
    for _ in range(2):
        with kept(path) as notes:
            data = workbook_of([line("B", cusip="037833100")], kept=notes)
        assert notes_of(data) == {}
        assert notes_of(data, "Gone") == {"A": ("Ann", "call")}
        assert rows_of(data, "Gone")[0]["Why it is here"] == "the fail is not in the file"
        path.write_bytes(data)
    with kept(path) as notes:
        data = workbook_of([line("A")], kept=notes)
    assert notes_of(data) == {"A": ("Ann", "call")}
    assert rows_of(data, "Gone") == []


def test_comment_on_a_fail_without_id_is_found_by_its_facts(tmp_path: Path) -> None:
    """`line-7` names no fail: CUSIP, counterparty and settlement date do, if they name one."""
    path = tmp_path / "day.xlsx"
    fill(workbook_of([line("line-1", clock=CLOCK)]), path, {"line-1": ("Ann", None)})
    with kept(path) as notes:
        data = workbook_of([line("line-9", clock=CLOCK)], kept=notes)
    assert notes_of(data) == {"line-9": ("Ann", None)}
    with kept(path) as notes:
        data = workbook_of([line("line-8", clock=CLOCK), line("line-9", clock=CLOCK)], kept=notes)
    assert notes_of(data) == {}
    assert "several fails" in rows_of(data, "Gone")[0]["Why it is here"]


def test_comment_on_a_fail_that_is_not_shown_goes_to_gone(tmp_path: Path) -> None:
    """A filter or a limit hides a fail; its comment is kept in the sheet Gone."""
    path = tmp_path / "day.xlsx"
    lines = [line("A", priority_tier="CRITICAL"), line("B", cusip="037833100")]
    fill(workbook_of(lines), path, {"A": ("Ann", None), "B": ("Bob", None)})
    with kept(path) as notes:
        data = workbook_of(lines, kept=notes, limit=1)
    assert notes_of(data) == {"A": ("Ann", None)}
    assert notes_of(data, "Gone") == {"B": ("Bob", None)}
    assert "does not show" in rows_of(data, "Gone")[0]["Why it is here"]


def test_second_comment_on_a_fail_is_not_lost(tmp_path: Path) -> None:
    """Where the desk copied a row, one comment is in the list and the other one in Gone."""
    path = tmp_path / "day.xlsx"
    fill(workbook_of([line("A"), line("A")]), path, {"A": ("Ann", "x")})
    with kept(path) as notes:
        assert notes.filled == 2
        data = workbook_of([line("A")], kept=notes)
    assert notes_of(data) == {"A": ("Ann", "x")}
    assert len(rows_of(data, "Gone")) == 1


def test_desk_may_move_columns_and_rows(tmp_path: Path) -> None:
    """Notes are found by the titles: a row above them, other columns and other rows do no harm."""
    path = tmp_path / "day.xlsx"
    fill(workbook_of([line("A"), line("B")]), path, {"B": ("Bob", date(2026, 11, 20))})
    book = openpyxl.load_workbook(path)
    sheet = book["List"]
    sheet.insert_cols(1, 2)
    sheet.insert_rows(1)
    sheet["A1"] = "Morning list"
    book.save(path)
    with kept(path) as notes:
        data = workbook_of([line("A"), line("B")], kept=notes)
    assert notes_of(data)["B"][0] == "Bob"


def test_notes_of_a_full_sheet_are_all_read(tmp_path: Path) -> None:
    """Comments of `List 2` are carried over too."""
    path = tmp_path / "day.xlsx"
    lines = [line(f"F-{number}") for number in range(4)]
    fill(workbook_of(lines, max_rows=3), path, {"F-3": ("Ann", "x")}, sheet="List 2")
    with kept(path) as notes:
        assert notes_of(workbook_of(lines, kept=notes)) == {"F-3": ("Ann", "x")}


def test_other_workbook_is_refused(tmp_path: Path) -> None:
    """A workbook without the sheet and its titles, or another file, is a usage error."""
    path = tmp_path / "other.xlsx"
    book = openpyxl.Workbook()
    book.active.title = "List"
    book.active.append(["Fail", "Remarks"])
    book.save(path)
    with pytest.raises(UsageError, match="is not a workbook of finops list"):
        KeptNotes(path)
    text = tmp_path / "out.csv"
    text.write_text("tier,score\nLOW,1\n")
    with pytest.raises(UsageError, match="is not a workbook of finops list"):
        KeptNotes(text)
