"""The inventory file, and how its lines become the inventory of a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.importers.joins.inventory_file import InventoryFile, Pool
from finops_cli.importers.joins.record_join import RecordJoin
from finops_cli.kb.load import bundled_kb_dir, load_kb

KB = load_kb(bundled_kb_dir())
CALENDAR = builtin_calendar(KB.calendar)
MSFT, AAPL = "594918104", "037833100"
ZERO = {"box_qty": 0, "stock_loan_available": 0, "recall_outstanding": 0, "pending_receives": 0}
FULL = f"""\
{{"snapshot": {{"as_of": "2026-11-27T18:00:00-05:00", "source": "stock record"}}}}
{{"cusip": "{MSFT}", "kind": "BOX", "qty": 8000}}
{{"cusip": "{MSFT}", "kind": "DEPOT", "id": "CREST", "qty": 10, "transit_days": 2}}
{{"cusip": "{MSFT}", "kind": "DEPOT", "id": "JASDEC", "qty": 5, "transit_days": 4}}
{{"cusip": "{MSFT}", "kind": "RECALL", "id": "R1", "qty": 3000, "notice_days": 3}}
{{"cusip": "{MSFT}", "kind": "RECALL", "id": "R2", "qty": 2000}}
{{"cusip": "{MSFT}", "kind": "BORROW", "id": "L1", "qty": 3000, "rate_bps": 40}}
{{"cusip": "{MSFT}", "kind": "PENDING", "id": "P1", "qty": 7, "settlement_date": "T+1"}}
{{"cusip": "{MSFT}", "kind": "PRICE", "usd": "418.75"}}
{{"cusip": "{MSFT}", "kind": "FTR", "dtc": "DTC-0161", "qty": 900, "age_days": 3}}
"""


@contextmanager
def opened(path: Path, text: str, as_of: str | None = None) -> Iterator[InventoryFile]:
    path.write_text(text)
    file = InventoryFile(path, as_of)
    try:
        yield file
    finally:
        file.close()


def refusal(path: Path, text: str, as_of: str | None = None) -> str:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        InventoryFile(path, as_of)
    return caught.value.one_line()


def test_pool_sums_the_lines_of_a_cusip(tmp_path: Path) -> None:
    """Boxes, depots, recalls and borrows are sums; a price and a pending receive count nowhere."""
    with opened(tmp_path / "i.jsonl", FULL) as file:
        pool = file.find(MSFT)
        assert isinstance(pool, Pool)
        assert pool.inventory == {
            "box_qty": 8000,
            "stock_loan_available": 3000,
            "recall_outstanding": 5000,
            "pending_receives": 7,
            "depot_qty": 15,
            "depot_transit_days": 4,
        }
        assert pool.ftrs == [{"dtc": "DTC-0161", "qty": 900, "age_days": 3}]
        assert file.find(AAPL) is None


def test_plain_row_of_a_cusip_is_its_box(tmp_path: Path) -> None:
    """A stock list of two columns needs no kind."""
    with opened(tmp_path / "i.csv", f'cusip,qty\n{MSFT},"8,000"\n{AAPL},0\n') as file:
        pool = file.find(MSFT)
        assert isinstance(pool, Pool)
        assert pool.inventory == {**ZERO, "box_qty": 8000}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f'{{"cusip": "{MSFT}", "kind": "BOX", "qty": -1}}', "qty"),
        (f'{{"cusip": "{MSFT}", "kind": "BOX"}}', "a BOX line needs qty"),
        (f'{{"cusip": "{MSFT}", "kind": "DEPOT", "qty": 5}}', "a DEPOT line needs transit_days"),
        (f'{{"cusip": "{MSFT}", "kind": "FTR", "qty": 5, "dtc": "DTC-0161"}}', "age_days"),
        (f'{{"cusip": "{MSFT}", "kind": "BOX", "qty": 5, "rate_bps": 1}}', "rate_bps"),
        (f'{{"cusip": "{MSFT}", "kind": "BOXES", "qty": 5}}', "kind"),
        (f'{{"cusip": "{MSFT}", "kind": "BOX", "quantity": 5}}', "quantity"),
        (f'{{"cusip": "{MSFT}", "kind": "BOX", "qty": 5}}\n' * 2, "give the second an id"),
    ],
)
def test_faulty_line_puts_its_cusip_in_doubt(tmp_path: Path, row: str, words: str) -> None:
    """Each fail of the CUSIP gets the file, the line and the fault; other CUSIPs are not hit."""
    text = f'{{"cusip": "{AAPL}", "kind": "BOX", "qty": 7}}\n{row}\n'
    with opened(tmp_path / "i.jsonl", text) as file:
        doubt = file.find(MSFT)
        assert isinstance(doubt, Problem)
        assert doubt.rule == "book.inventory_in_doubt"
        assert words in doubt.message
        assert "i.jsonl:" in doubt.message
        assert isinstance(file.find(AAPL), Pool)


@pytest.mark.parametrize("between", [0, 255, 700])
def test_doubt_names_the_first_fault(tmp_path: Path, between: int) -> None:
    """Lines are written many at once, yet a source that comes twice is named before a later fault,
    with the line that has it first.
    """
    box = f'{{"cusip": "{MSFT}", "kind": "BOX", "qty": 5}}\n'
    other = "".join(
        f'{{"cusip": "{AAPL}", "kind": "BORROW", "id": "L{n}", "qty": 5}}\n' for n in range(between)
    )
    faulty = f'{{"cusip": "{MSFT}", "kind": "DEPOT", "qty": 5}}\n'
    with opened(tmp_path / "i.jsonl", box + other + box + faulty) as file:
        doubt = file.find(MSFT)
        assert isinstance(doubt, Problem)
        assert f"i.jsonl:{between + 2}:" in doubt.message
        assert "line 1 has it" in doubt.message
    with opened(tmp_path / "i.jsonl", box + other + faulty + box) as file:
        doubt = file.find(MSFT)
        assert isinstance(doubt, Problem)
        assert f"i.jsonl:{between + 2}:" in doubt.message
        assert "transit_days" in doubt.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"cusip": "594918105", "kind": "BOX", "qty": 5}\n', 'cusip is "594918105"'),
        ('{"kind": "BOX", "qty": 5}\n', "cusip is"),
        ("{\n", "JSON"),
        ("cusip,shares\n594918104,5\n", "column 'shares' is not known"),
        ('{"snapshot": {"as_of": "Friday"}}\n', "as_of is 'Friday'"),
    ],
)
def test_line_without_a_cusip_stops_the_run(tmp_path: Path, text: str, words: str) -> None:
    """Nobody knows which fails a line without a readable CUSIP concerns."""
    assert words in refusal(tmp_path / "i.txt", text)


def test_two_moments_for_one_snapshot_are_refused(tmp_path: Path) -> None:
    """The moment is the file's or the option's, never silently one of both."""
    assert "--inventory-as-of" in refusal(tmp_path / "i.jsonl", FULL, "2026-11-26")


@pytest.mark.parametrize(
    ("taken", "as_of", "words"),
    [
        ("2026-11-27", date(2026, 11, 30), ""),
        ("2026-11-30", date(2026, 11, 30), ""),
        ("2026-11-25", date(2026, 11, 30), "before 2026-11-27"),
        ("2026-12-01", date(2026, 11, 30), "after --as-of"),
    ],
)
def test_snapshot_of_the_day_before_is_fresh(
    tmp_path: Path, taken: str, as_of: date, words: str
) -> None:
    """The day before in settlement days is fresh: Friday's stock serves on Monday."""
    with opened(tmp_path / "i.csv", f"cusip,qty\n{MSFT},1\n", taken) as file:
        if not words:
            file.refuse_stale(as_of, CALENDAR, KB.joins)
            return
        with pytest.raises(UsageError) as caught:
            file.refuse_stale(as_of, CALENDAR, KB.joins)
        assert words in caught.value.one_line()


HEADER = ("CUSIP", "Kind", "ID", "Qty", "Rate_bps", None)


def write_workbook(path: Path, *rows: Sequence[Any]) -> Path:
    """Write a workbook with a sheet of rows, and one without cells."""
    book = pytest.importorskip("openpyxl").Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("Empty")
    book.save(path)
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"cusip;kind;qty;usd\n{MSFT};BOX;8,000;\n{MSFT};PRICE;;418.75\n",
        f"sep=;\ncusip;kind;qty;usd\n{MSFT};BOX;8000;\n{MSFT};PRICE;;418.75\n",
        f'\ufeff"cusip";"kind";"qty";"usd"\r\n{MSFT};BOX;8000;\r\n{MSFT};PRICE;;"418.75"\r\n',
        f"Cusip\tKind\tQty\tUSD\n{MSFT}\tBOX\t8000\t\n{MSFT}\tPRICE\t\t418.75\n",
    ],
)
def test_header_shows_what_stands_between_cells(tmp_path: Path, text: str) -> None:
    """A table that Excel saved with semicolons or tabs is read as one with commas."""
    with opened(tmp_path / "i.csv", text) as file:
        pool = file.find(MSFT)
        assert isinstance(pool, Pool)
        assert pool.inventory["box_qty"] == 8000
        assert file.kinds == {"BOX", "PRICE"}


def test_comma_for_decimals_is_refused(tmp_path: Path) -> None:
    """A file with semicolons may have decimal commas: they are named, never taken for thousands."""
    text = f"cusip;kind;qty;usd\n{MSFT};PRICE;;418,75\n{AAPL};BOX;5.000;\n"
    with opened(tmp_path / "i.csv", text) as file:
        for cusip, value in ((MSFT, "418,75"), (AAPL, "5.000")):
            problem = file.find(cusip)
            assert isinstance(problem, Problem)
            assert value in problem.message


def test_workbook_reads_as_its_csv(tmp_path: Path) -> None:
    """Numbers of cells are numbers, empty cells leave their field out, and the header may have
    capitals, in a CSV file too.
    """
    rows = ((int(MSFT), "Box", None, 8000.0), (MSFT, "BORROW", "L1", "3,000", 40))
    book = write_workbook(tmp_path / "i.xlsx", HEADER, (), *rows)
    text = f"CUSIP,Kind,ID,Qty,Rate_bps\n{MSFT},Box,,8000,\n{MSFT},BORROW,L1,3000,40\n"
    with opened(tmp_path / "i.csv", text) as file:
        expected = file.find(MSFT)
    found = InventoryFile(book)
    assert found.find(MSFT) == expected
    assert isinstance(expected, Pool)
    assert expected.inventory["box_qty"] == 8000
    found.close()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("cusip", "qty"), (MSFT, "=1+1")], "i.xlsx:2"),
        ([("cusip", "qty"), (MSFT, 5, "?")], "as many cells as the header"),
        ([("cusip", "shares"), (MSFT, 5)], "column 'shares' is not known"),
        ([("Stock record",), ("cusip", "qty"), (MSFT, 5)], "column 'stock record' is not known"),
    ],
)
def test_faults_of_a_workbook_name_their_row(
    tmp_path: Path, rows: list[tuple[Any, ...]], said: str
) -> None:
    """A formula without a value, a cell beyond the header, and a wrong value are refused."""
    with pytest.raises(UsageError) as caught:
        InventoryFile(write_workbook(tmp_path / "i.xlsx", *rows))
    assert said in str(caught.value)


def test_workbook_with_two_filled_sheets_is_refused(tmp_path: Path) -> None:
    """Nothing says which sheet is the stock."""
    book = pytest.importorskip("openpyxl").Workbook()
    for sheet in (book.active, book.create_sheet("Depots")):
        sheet.append(("cusip", "qty"))
    book.save(tmp_path / "i.xlsx")
    with pytest.raises(UsageError, match="'Sheet', 'Depots'; accepted: one"):
        InventoryFile(tmp_path / "i.xlsx")


def joined(file: InventoryFile, record: dict[str, Any]) -> list[Problem]:
    return RecordJoin(inventory=file).apply(record)


def test_record_without_inventory_gets_the_pool(tmp_path: Path) -> None:
    """`origin.joined` names the file and its moment."""
    with opened(tmp_path / "i.jsonl", FULL) as file:
        record: dict[str, Any] = {"cusip": MSFT, "qty": 10}
        assert joined(file, record) == []
        assert record["inventory"]["box_qty"] == 8000
        assert record["ftrs"][0]["dtc"] == "DTC-0161"
        assert record["origin"]["joined"]["inventory"]["file"] == "i.jsonl"


def test_cusip_without_a_line_is_assumed_empty(tmp_path: Path) -> None:
    """A security that the stock list does not have has no stock, and the record says so."""
    with opened(tmp_path / "i.csv", f"cusip,qty\n{MSFT},5\n") as file:
        record: dict[str, Any] = {"cusip": AAPL}
        assert joined(file, record) == []
        assert record["inventory"] == ZERO
        assert record["origin"]["assumed"] == ["inventory"]


@pytest.mark.parametrize(
    ("own", "fields"),
    [
        ({"box_qty": 8000}, []),
        ({"box_qty": 7999}, ["/inventory.box_qty"]),
        ({"box_qty": 8000, "stock_loan_available": 44}, []),
    ],
)
def test_inventory_of_a_record_must_agree(
    tmp_path: Path, own: dict[str, Any], fields: list[str]
) -> None:
    """A file of boxes is compared in the box alone: it says nothing about borrows."""
    with opened(tmp_path / "i.csv", f"cusip,qty\n{MSFT},8000\n") as file:
        record = {"cusip": MSFT, "inventory": {**ZERO, **own}}
        found = joined(file, record)
        assert [problem.path for problem in found] == fields
        assert all(problem.rule == "book.snapshot_conflict" for problem in found)
