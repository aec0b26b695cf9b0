"""The first rows of an upload, with their faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.service.desk.upload.preview import ROWS, Preview, preview_file
from tests.support.program import ROOT
from tests.support.records import a_fail, jsonl

KB = load_kb(bundled_kb_dir())
CSV = ROOT / "examples/csv"


def look(folder: Path, content: bytes | str, mapping: Path | None = None) -> Preview:
    path = folder / "file-1"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = preview_file(path, "fails", folder / "scratch", KB, mapping)
    assert not (folder / "scratch").exists()
    return found


def test_faults_name_field_value_and_accepted(tmp_path: Path) -> None:
    """A fault says which field has which value, what is wrong, and what is accepted."""
    found = look(tmp_path, jsonl(a_fail(), a_fail(fail_id="F-2", qty=-5), a_fail(cusip="x")))
    assert [bool(row.faults) for row in found.rows] == [False, True, True]
    [fault] = found.rows[1].faults
    assert (fault.field, fault.value, fault.what) == ("qty", "-5", "qty is -5")
    assert "whole number" in fault.accepted
    assert (found.command, found.is_whole, found.faulty) == ("run", True, 2)


def test_preview_finds_what_the_run_rejects(tmp_path: Path) -> None:
    """The preview names the lines that a job rejects: damaged, empty and repeated ones too."""
    content = (ROOT / "examples/damaged.jsonl").read_bytes()
    expected = (ROOT / "examples/damaged.expected.jsonl").read_bytes().splitlines()
    rejected = [at for at, line in enumerate(expected, 1) if b'"rejected"' in line]
    found = look(tmp_path, content)
    assert [row.line for row in found.rows if row.faults] == rejected


def test_large_file_is_read_by_its_beginning(tmp_path: Path) -> None:
    """Of a file with 1,000 faults the first rows are shown, and no more faults than fit."""
    lines = jsonl(*(a_fail(fail_id=f"F-{n}", qty=-n, notes="x" * 900) for n in range(1, 1001)))
    found = look(tmp_path, lines)
    assert len(found.rows) == ROWS
    assert not found.is_whole
    assert found.faulty == ROWS


def test_record_with_many_faults_shows_some(tmp_path: Path) -> None:
    """A record with 1,000 unknown fields shows five faults and counts more."""
    found = look(tmp_path, json.dumps(a_fail() | {f"x{n}": n for n in range(1000)}))
    [row] = found.rows
    assert len(row.faults) == 5
    assert row.further_faults > 0


@pytest.mark.parametrize("name", ["blotter.csv", "broker-export.csv", "european-blotter.csv"])
def test_table_has_a_proposed_mapping(tmp_path: Path, name: str) -> None:
    """A file with columns shows its mapping, its open facts, and its rows as records."""
    found = look(tmp_path, (CSV / name).read_bytes())
    assert found.is_table
    assert found.mapping is not None
    assert "columns:" in found.mapping
    assert "finops run" not in found.mapping
    assert [each.name for each in found.missing] == (["side"] if "european" in name else [])
    assert found.rows[0].cells[1] == "594918104"
    side, age = found.rows[0].cells[2], found.rows[0].cells[6]
    assert (side == "") == ("european" in name), "what the file does not say is not shown"
    assert age != "0"


def test_chosen_mapping_is_used(tmp_path: Path) -> None:
    """Another mapping gives other rows; a faulty one is refused with its cure."""
    mapping = tmp_path / "mapping"
    mapping.write_bytes((CSV / "mapping.yaml").read_bytes())
    found = look(tmp_path, (CSV / "blotter.csv").read_bytes(), mapping)
    assert found.rows
    assert not found.refused
    mapping.write_text("columns: {cusip: Nowhere}\n")
    refused = look(tmp_path, (CSV / "blotter.csv").read_bytes(), mapping)
    assert "the mapping" in refused.refused
    assert str(tmp_path) not in refused.refused + refused.cure


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"%PDF-1.4 x", "PDF"),
        (b"a,b\n1,2\n", "header"),
    ],
)
def test_file_that_cannot_be_read_has_a_cure(tmp_path: Path, content: bytes, said: str) -> None:
    """A file of another kind is refused with what it is and what to do, without its path."""
    found = look(tmp_path, content)
    assert said in found.refused
    assert found.cure
    assert str(tmp_path) not in found.refused + found.cure


@pytest.mark.parametrize(
    ("record", "command"),
    [
        ({"id": "T-1", "text": "Profit rose."}, "sentiment"),
        ({"fail_id": "F-1", "triage": {}}, "resolve"),
        ({"fail_id": "F-1", "provenance": {}}, "check"),
        ({"id": "o1", "from": "A", "to": "B", "asset": "594918104", "qty": 5}, "net"),
        (a_fail(), "run"),
        (["a list"], "run"),
    ],
)
def test_kind_of_record_chooses_the_command(tmp_path: Path, record: object, command: str) -> None:
    """The page proposes the command that takes such records."""
    assert look(tmp_path, json.dumps(record) + "\n").command == command


def test_formulas_and_markup_stay_text(tmp_path: Path) -> None:
    """Cells with formulas, markup and control characters are shown as text of one line."""
    record = a_fail(fail_id="=HYPERLINK(1)", counterparty="<b>\x1b[2J\n</b>")
    cells = look(tmp_path, json.dumps(record) + "\n").rows[0].cells
    assert cells[0] == "=HYPERLINK(1)"
    assert "\x1b" not in cells[5]
    assert "\n" not in cells[5]


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ((ROOT / "examples/book/inventory.jsonl").read_bytes(), "inventory"),
        (b'{"cusip": "594918104", "qty": 8000}\n', "inventory"),
        (b'"CUSIP";"Kind";"Qty"\r\n594918104;BOX;8000\r\n594918104;BOX;9\r\n', "inventory"),
        (
            b"date,counterparty,trades,fails\n2026-11-24,DTC-0352,410,13\n",
            "counterparty_history",
        ),
        ((ROOT / "examples/book/fails.jsonl").read_bytes(), None),
        ((CSV / "blotter.csv").read_bytes(), None),
        (b"cusip,qty,side\n594918104,5000,Sell\n594918104,9,Sell\n", None),
    ],
)
def test_file_of_facts_is_no_list_of_fails(
    tmp_path: Path, content: bytes, facts: str | None
) -> None:
    """An inventory is not held for fails with faults: it goes with a job on fails."""
    found = look(tmp_path, content)
    assert found.facts == facts
    assert bool(found.rows) is (facts is None)
