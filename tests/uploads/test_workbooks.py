"""Uploads of Excel workbooks: the sheet is stored as CSV, masked; nothing else is kept."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from finops_cli.guard.detector import installed
from finops_cli.importers.tables.cell_text import write_cell
from finops_cli.importers.tables.table import CellFault, CellValue, Percentage
from tests.service.conftest import Server, start, stop
from tests.service.test_jobs import begin, finish
from tests.support.program import ROOT

openpyxl = pytest.importorskip("openpyxl")
slow = pytest.mark.slow
SSN = "078-05-1120"
CSV = ROOT / "examples/csv/blotter.csv"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("two\nlines ", "two lines"),
        (True, "Yes"),
        (Decimal(32000), "32000"),
        (Decimal("1E+6"), "1000000"),
        (Percentage("4.5"), "4.5%"),
        (date(2026, 11, 27), "2026-11-27"),
        (datetime.fromisoformat("2026-11-27 09:15"), "2026-11-27 09:15"),
        (CellFault("=A1*2", "", ""), "=A1*2"),
    ],
)
def test_cell_is_written_as_it_reads(value: CellValue, text: str) -> None:
    """A number keeps each digit, a day is written as ISO 8601 does, a fault keeps its text."""
    assert write_cell(value) == text


def workbook(**cells: Any) -> bytes:
    """Write the example of a blotter as a workbook, with a sheet of notes before it."""
    book = openpyxl.Workbook()
    notes = book.active
    notes.title = "Notes"
    notes.append(["written by the desk"])
    sheet = book.create_sheet("Fails")
    sheet.append(["Open fails"])
    sheet.append([])
    with CSV.open() as file:
        for row in csv.reader(file):
            sheet.append(row)
    for place, value in cells.items():
        sheet[place] = value
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the guard where it is installed."""
    options = () if installed() else ("--guard", "off")
    running = start(tmp_path_factory.mktemp("workbooks"), *options)
    yield running
    stop(running)


def send(client: httpx.Client, content: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return client.post("/v1/files", params={"name": "b.xlsx"}, content=content, headers=headers)


@slow
def test_workbook_becomes_the_csv_of_its_sheet(guarded: Server) -> None:
    """The sheet with the fails is stored, row N in line N, and a job runs on it."""
    with guarded.client("operator") as client:
        answer = send(client, workbook())
        assert answer.status_code == 201, answer.text
        file = answer.json()
        lines = Path(guarded.data, "files", file["id"]).read_text().splitlines()
        assert lines[0].startswith("Open fails")
        assert lines[1] == ""
        assert "Security" in lines[2]
        job = finish(client, begin(client, "run", file["id"], accept=True, as_of="2026-11-27"))
        assert job["state"] == "completed", job
        assert job["request_counts"]["ok"] == 5
        output = client.get(f"/v1/jobs/{job['id']}/output").content
        assert json.loads(output.splitlines()[0])["fail_id"] == "D-1001"


@slow
@pytest.mark.skipif(not installed(), reason="the guard is not installed")
def test_workbook_is_masked_before_it_is_stored(guarded: Server) -> None:
    """No byte of the data folder has the number, packed or not."""
    with guarded.client("operator") as client:
        content = workbook(R5=f"ssn {SSN} on file")
        answer = send(client, content)
        assert answer.status_code == 201, answer.text
        assert answer.json()["masked_lines"] == 1
    for path in guarded.data.rglob("*"):
        if path.is_file():
            kept = path.read_bytes()
            assert SSN.encode() not in kept, path
            assert content[:200] not in kept, path


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def bomb() -> bytes:
    book = io.BytesIO(workbook())
    with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/media/image.bin", bytes(600_000_000))
    return book.getvalue()


@slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive(fails=CSV.read_bytes()), "packed (ZIP)"),
        (archive(word__document=b"x"), "packed (ZIP)"),
        (b"PK\x03\x04 not a ZIP", ""),
        (workbook()[:-2_000], ""),
    ],
)
def test_other_archives_are_refused(guarded: Server, content: bytes, said: str) -> None:
    """An archive without a workbook, or a damaged one, is refused, and nothing of it is kept."""
    with guarded.client("operator") as client:
        before = sorted(Path(guarded.data, "files").iterdir())
        answer = send(client, content)
        assert answer.status_code == 415, answer.text
        assert said in answer.json()["detail"]
        assert "/dev/" not in answer.text
        assert sorted(Path(guarded.data, "files").iterdir()) == before


@slow
def test_workbook_that_unpacks_without_end_is_refused(guarded: Server) -> None:
    """A part that is far longer than the file is never unpacked."""
    with guarded.client("operator") as client:
        answer = send(client, bomb())
        assert answer.status_code == 415, answer.text
        assert "unpacks" in answer.json()["detail"]


@slow
def test_workbook_above_its_limit_is_refused(guarded: Server) -> None:
    """A workbook is held in memory, so its limit is lower than the limit of a text."""
    with guarded.client("operator") as client:
        answer = send(client, b"PK\x03\x04" + bytes(33_554_432))
        assert answer.status_code == 413, answer.text
        assert "CSV" in answer.json()["detail"]
