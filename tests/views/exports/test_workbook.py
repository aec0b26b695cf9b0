"""Lists as workbooks, read back by openpyxl."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finops_cli.views.answer_index import Filter
from tests.support.program import ROOT
from tests.support.soak import scaled
from tests.views.exports.reports import change_steps, planned_line, workbook_of
from tests.views.test_answer_index import line
from tests.views.test_changes import CLOCK

openpyxl = pytest.importorskip("openpyxl")
TEXTS = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("=+-@#\t\r\n_x0041'")),
    max_size=30,
)


def open_book(data: bytes) -> Any:
    """Open a workbook as a program does."""
    return openpyxl.load_workbook(io.BytesIO(data))


def rows_of(data: bytes, sheet: str) -> list[dict[str, Any]]:
    """Read the rows of a sheet by their titles."""
    head, *rows = open_book(data)[sheet].iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_list_sheet_has_typed_cells() -> None:
    """Numbers are numbers and days are days, each with its format; null is an empty cell."""
    sheet = open_book(workbook_of([line("F-1", clock=CLOCK, counterparty_name=None)]))["List"]
    cells = {head.value: cell for head, cell in zip(sheet[1], sheet[2], strict=True)}
    assert cells["Value USD"].value == 1000.5
    assert cells["Value USD"].number_format.startswith("#,##0.00")
    assert cells["Shares"].value == 500
    assert cells["Settlement"].value == datetime(2026, 11, 16)  # noqa: DTZ001 - a day of a sheet
    assert cells["Settlement"].number_format == "yyyy-mm-dd"
    assert cells["Due"].value == "T+13"
    assert cells["Counterparty name"].value is None
    assert cells["Owner"].value is None
    assert cells["Comment"].value is None
    assert cells["What to do"].alignment.wrap_text
    assert cells["Tier"].fill.start_color.rgb != cells["Fail"].fill.start_color.rgb


def test_sheets_keep_their_head_in_view_and_filter() -> None:
    """Each sheet has a frozen head, a filter over all its rows, and the head on each page."""
    book = open_book(workbook_of([planned_line("A"), planned_line("B")], [line("A")]))
    assert book.sheetnames == ["List", "Plans", "Changes", "Sources"]
    for sheet in book:
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == sheet.dimensions
        assert sheet.print_title_rows == "$1:$1"
        assert all(cell.font.bold for cell in sheet[1])


def test_plan_sheet_has_steps_fallbacks_and_residual() -> None:
    """The rows of a plan are its steps, then its fallbacks, then the uncovered shares."""
    rows = rows_of(workbook_of([line("none"), planned_line("F-1")]), "Plans")
    named = ("Fail", "Step", "Action", "Counterparty", "Shares", "Coverage %", "Remaining",
             "Rationale")  # fmt: skip
    assert [tuple(row[name] for name in named) for row in rows] == [
        ("F-1", 1, "Chase the receive", "DTC-0161", 300, 60, 200, "Aged 3d, 300 shares"),
        ("F-1", "fallback 1", "Recall a loan", None, 150, None, None, None),
        ("F-1", "uncovered", "Escalate", None, 50, None, 50,
         "Residual 50 of 500 shares has no source"),
    ]  # fmt: skip


def test_changes_sheet_names_what_changed() -> None:
    """With an earlier output a sheet has each change and the fail that it is about."""
    today = [line("A", qty=200), line("N", cusip="037833100")]
    rows = rows_of(workbook_of(today, [line("A"), line("C", cusip="36467W109")]), "Changes")
    assert [(row["Change"], row["Fail"]) for row in rows] == [
        ("Part delivered", "A"),
        ("New", "N"),
        ("Cleared", "C"),
    ]


def test_sources_sheet_names_origins_and_rules() -> None:
    """The sources have files, rules version, moment, assumptions, and rules with their titles."""
    given = line(
        clock={**CLOCK, "calendar": {"id": "builtin", "sha256": "ab", "reviewed": "2026-11-20"}},
        provenance={"backend": "ollama", "models": {"triage": "m:1"}, "kb": "0.1+ff"},
        origin={"assumed": ["cp_fail_rate_pct"]},
        warnings=[{"rule": "input.dates"}],
    )
    rows = rows_of(workbook_of([given], origin=[("Output of finops", "out.jsonl")]), "Sources")
    said = {row["Part"]: row["Value"] for row in rows if row["Part"] != "Rule"}
    assert said["Output of finops"] == "out.jsonl"
    assert said["Rules version"] == "0.1+ff"
    assert said["Model"] == "triage: m:1"
    assert said["True as of"] == "2026-11-17 08:00 ET"
    assert said["Assumed field"] == "cp_fail_rate_pct"
    assert said["Calendar"] == "builtin, overrides 0, reviewed 2026-11-20, sha256 ab"
    rules = {row["Rule"]: row for row in rows if row["Part"] == "Rule"}
    assert rules["score.base"]["Value"] == "Base score and its weights"
    assert rules["score.base"]["Source"] == "card-1"
    assert rules["input.dates"]["Lines"] == 1


def test_equal_lists_are_equal_bytes() -> None:
    """Two workbooks of one list are equal, and no part of them has the time of writing."""
    lines = [planned_line("A"), line("B", clock=CLOCK)]
    first, second = workbook_of(lines, [line("A")]), workbook_of(lines, [line("A")])
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    properties = open_book(first).properties
    assert properties.created == properties.modified == datetime(2026, 11, 17, 8)  # noqa: DTZ001


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(text=st.builds(str.__add__, st.sampled_from(["", "=", "+", "-", "@", "#N/A"]), TEXTS))
@example("=1+1")
def test_no_text_becomes_a_formula_in_a_sheet(text: str) -> None:
    """Whatever a text is, each cell of it is a text cell, and the workbook opens."""
    given = planned_line(text[:20], counterparty_name=text, symbol=text or None, narrative=text)
    given = change_steps(given, rationale=text, action=text, dtc=text)
    read = json.loads(given)
    read["headline"]["text"] = text
    read["headline"]["by"] = {"date": text, "basis": "clock", "rule": text}
    read["origin"] = {"assumed": [text]}
    read["warnings"] = [{"rule": text}]
    data = workbook_of([json.dumps(read).encode()], [line("other", symbol=text)])
    for sheet in open_book(data):
        for row in sheet.iter_rows():
            assert {cell.data_type for cell in row} <= {"s", "n", "d", "inlineStr"}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "=1+1"),
        ("#REF!", "#REF!"),
        ("@x", "@x"),
        ("007", "007"),
        ("_x0041_", "_x005F_x0041_"),
        ("a\x07b", "a\\x07b"),
    ],
)
def test_text_stays_as_it_is_in_a_sheet(text: str, cell: str) -> None:
    """A text is neither formula nor error nor number; codes of characters are escaped."""
    sheet = open_book(workbook_of([line(counterparty_name=text)]))["List"]
    cells = {head.value: found for head, found in zip(sheet[1], sheet[2], strict=True)}
    found = cells["Counterparty name"]
    assert (found.value, found.data_type) == (cell, "s")


def test_long_text_is_cut_with_a_note() -> None:
    """A sheet holds 32,767 characters of a text; the cell says that it was cut."""
    [row] = rows_of(workbook_of([line(counterparty_name="x" * 40_000)]), "List")
    assert len(row["Counterparty name"]) == 32_767
    assert row["Counterparty name"].endswith("(cut: 40,000 characters)")


def test_full_sheet_goes_on_in_another() -> None:
    """A sheet holds a limited number of rows; the rest follows in `List 2`, with its head."""
    data = workbook_of([planned_line(f"F-{number}") for number in range(5)], max_rows=3)
    book = open_book(data)
    sheets = [name for name in book.sheetnames if name.startswith("List")]
    assert sheets == ["List", "List 2", "List 3"]
    names = [row["Fail"] for sheet in sheets for row in rows_of(data, sheet)]
    assert names == [f"F-{number}" for number in range(5)]
    assert book["List 3"].auto_filter.ref == book["List 3"].dimensions


def test_chosen_columns_stand_with_hidden_keys() -> None:
    """Other columns than the usual ones come with Owner and Comment, and hidden keys."""
    sheet = open_book(workbook_of([line()], columns=("tier", "qty")))["List"]
    titles = [cell.value for cell in sheet[1]]
    assert titles[:3] == ["#", "Tier", "Shares"]
    assert titles[3:5] == ["Owner", "Comment"]
    hidden = [titles[place] for place, column in enumerate(sheet.column_dimensions.values())
              if column.hidden]  # fmt: skip
    assert hidden == ["Fail", "CUSIP", "Counterparty", "Settlement"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux")
@pytest.mark.parametrize("suffix", ["csv", "xlsx", "html"])
def test_files_are_written_in_flat_memory(suffix: str, tmp_path: Path) -> None:
    """Five thousand lines (ten in `just soak`) need about as much memory as one thousand: caches
    take 4 MiB until they are full, and lines that are kept would take 10 MiB and more.
    """
    program = (
        "import sys\n"
        "from finops_cli.cli import main\n"
        "sys.argv = ['finops', 'list', sys.argv[1], '-q', '-o', sys.argv[2]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))\n"
    )
    peaks = []  # VmHWM: ru_maxrss of a child begins with the peak of its parent
    for count in (1_000, scaled(5_000, 10_000)):
        source = tmp_path / f"{count}.jsonl"
        with source.open("wb") as file:
            file.writelines(planned_line(f"F-{number}") + b"\n" for number in range(count))
        done = subprocess.run(
            [sys.executable, "-c", program, str(source), str(tmp_path / f"{count}.{suffix}")],
            capture_output=True,
            check=True,
            text=True,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 7_000, peaks  # KiB


def test_book_has_a_sheet_of_its_pools() -> None:
    """A plan of the whole book names what competes with what: the whole queue of each pool, also
    where the list shows one of its fails; a security with one fail has no pool.
    """
    lines = (ROOT / "examples/book/fails.expected.jsonl").read_bytes().splitlines()
    rows = rows_of(workbook_of(lines, wanted=Filter(tiers=("CRITICAL",))), "Pools")
    facts = [tuple(row.values())[:5] for row in rows]
    assert facts == [
        ("594918104", 1, 3, "CRITICAL", "B-1"),
        ("594918104", 2, 3, "LOW", "B-2"),
        ("594918104", 3, 3, "LOW", "B-3"),
    ]
    assert [(row["Owed"], row["Covered"], row["Uncovered"]) for row in rows] == [
        (9_000, 6_000, 3_000),
        (5_000, 5_000, 0),
        (2_000, 0, 2_000),
    ]
    assert rows[2]["Why uncovered"].startswith("B-1, B-2 and B-3 owe 16,000.")
    assert "Pools" not in open_book(workbook_of([line("F-1")])).sheetnames
