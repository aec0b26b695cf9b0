"""The files that `finops clock` joins to records: history, events and threshold lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ClockFacts, HistoryRow, ThresholdDay
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.importers.clock_files import FileJoin, join, read_events, read_history
from finops_cli.pipeline.parse import parse_fail
from tests.support.program import invoke
from tests.support.records import a_fail

MSFT = "594918104"
CSV = f"""date,cusip,qty,new,open_qty,sale_type,trade_date
2026-11-16,{MSFT},500,,,,
2026-11-17,{MSFT},"1,200",700,500,short,20261116
"""
ROWS = (
    HistoryRow("2026-11-16", 500),
    HistoryRow("2026-11-17", 1200, 700, 500, "short", "2026-11-16"),
)
PURCHASE = {"type": "purchase", "at": "2026-11-18T09:00", "qty": 100, "id": "P-1"}


def fail(name: str = "F-1", **fields: Any) -> FailRecord:
    found = parse_fail(a_fail(fail_id=name, cusip=MSFT, **fields)).value
    assert found is not None
    return found


def write(folder: Path, text: str, name: str = "history.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def write_lines(folder: Path, *rows: object, name: str = "events.jsonl") -> Path:
    return write(folder, "".join(json.dumps(row) + "\n" for row in rows), name)


def facts_of(joined: FailRecord | Problem) -> ClockFacts:
    assert isinstance(joined, FailRecord), joined
    assert joined.clock_facts is not None
    return joined.clock_facts


@pytest.mark.parametrize("key", ["fail_id", "cusip", "symbol"])
def test_history_joins_by_each_name_of_a_fail(tmp_path: Path, key: str) -> None:
    """The rows of a history belong to a fail, a CUSIP or a symbol."""
    value = {"fail_id": "F-1", "cusip": MSFT, "symbol": "MSFT"}[key]
    text = CSV.replace("cusip", key).replace(MSFT, value)
    history = read_history(write(tmp_path, text))
    assert facts_of(join(fail(origin={"symbol": "MSFT"}), history)).fail_history == ROWS
    assert history.list_unused() == []


def test_history_as_json_lines_equals_history_as_csv(tmp_path: Path) -> None:
    """A history may be JSON Lines; the name of the file does not decide."""
    rows = [
        {"date": "2026-11-16", "cusip": MSFT, "qty": 500},
        {
            "date": "20261117",
            "cusip": MSFT,
            "symbol": None,
            "qty": 1200,
            "new": 700,
            "open_qty": 500,
            "sale_type": "short",
            "trade_date": "2026-11-16",
        },
    ]
    path = write_lines(tmp_path, *rows, name="history.txt")
    assert facts_of(join(fail(), read_history(path))).fail_history == ROWS


def test_events_join_to_the_record_and_keep_its_facts(tmp_path: Path) -> None:
    """Events become facts of the record, beside those that it has."""
    path = write_lines(tmp_path, {"cusip": MSFT, **PURCHASE, "settled_on": "20261119"})
    record = fail(clock_facts={"sale_type": "short"})
    facts = facts_of(join(record, events=read_events(path)))
    assert facts.sale_type == "short"
    [event] = facts.events
    assert (event.type, event.at, event.settled_on) == (
        "purchase",
        "2026-11-18T09:00",
        "2026-11-19",
    )


def test_record_without_rows_in_the_files_stays_as_it_is(tmp_path: Path) -> None:
    """A record that no file names is the same object; names that no record has are listed."""
    history = read_history(write(tmp_path, CSV.replace(MSFT, "00165C104")))
    record = fail()
    assert join(record, history) is record
    assert history.list_unused() == ["cusip 00165C104"]


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"fail_history": [{"date": "2026-11-16", "qty": 1}]}, "/clock_facts/fail_history"),
        ({"lots": [{"settlement_date": "2026-11-16", "qty": 1}]}, "/clock_facts/lots"),
        ({"events": [PURCHASE]}, "/clock_facts/events"),
        ({"threshold_since": "2026-11-16"}, "/clock_facts/threshold_since"),
        ({"threshold_days": [{"date": "2026-11-16", "listed": True}]}, "/clock_facts/threshold_"),
    ],
)
def test_fact_in_the_record_and_in_a_file_is_refused(
    tmp_path: Path, facts: dict[str, Any], path: str
) -> None:
    """A record that has a fact itself does not take it from a file."""
    header = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Filler"
    joined = FileJoin(
        write(tmp_path, CSV) if "history" in path or "lots" in path else None,
        write_lines(tmp_path, {"cusip": MSFT, **PURCHASE}) if "events" in path else None,
        [write(tmp_path, f"{header}\nMSFT|A|Q|Y|\n", "nasdaqth20261117.txt")],
    )(fail(clock_facts=facts, origin={"symbol": "MSFT"} if "threshold" in path else {}))
    assert isinstance(joined, Problem)
    assert joined.path.startswith(path)
    assert "; accepted: facts in the record or in a file with " in joined.message


def test_threshold_lists_join_by_the_symbol_in_origin(tmp_path: Path) -> None:
    """The days of the lists join a record whose `origin` has the symbol."""
    header = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Filler"
    lists = [
        write(tmp_path, f"{header}\n{row}{day}210501\n", f"nasdaqth{day}.txt")
        for day, row in (("20261116", "MSFT|A|Q|Y|\n"), ("20261117", ""))
    ]
    add = FileJoin(None, None, lists)
    assert facts_of(add(fail(origin={"symbol": "MSFT"}))).threshold_days == (
        ThresholdDay("2026-11-16", True),
        ThresholdDay("2026-11-17", False),
    )
    record = fail()
    assert add(record) is record


def test_rows_of_a_cusip_join_one_record_of_a_day(tmp_path: Path) -> None:
    """No share counts twice: where records come one by one, the second one of a CUSIP is refused,
    unless it is of another day.
    """
    path = write_lines(tmp_path, {"cusip": MSFT, **PURCHASE})
    events = read_events(path)
    first = fail("F-1", clock_facts={"as_of": "2026-11-18"})
    assert facts_of(join(first, events=events)).events
    assert facts_of(join(first, events=events)).events
    second = join(fail("F-2", clock_facts={"as_of": "2026-11-18T09:00"}), events=events)
    assert isinstance(second, Problem)
    assert "accepted: rows with a fail_id in " in second.message
    assert "several records have this cusip: F-1, F-2" in second.message
    assert facts_of(join(fail("F-3", clock_facts={"as_of": "2026-11-19"}), events=events)).events


def test_rows_of_a_cusip_of_several_records_join_none(tmp_path: Path) -> None:
    """Rule: the rows of a CUSIP are not given to the first of its fails: each one is refused."""
    fails = write_lines(
        tmp_path, *(a_fail(fail_id=f"F-{n}", cusip=MSFT) for n in range(1, 6)), name="fails.jsonl"
    )
    events = write_lines(tmp_path, {"cusip": MSFT, **PURCHASE})
    call = ["clock", str(fails), "--as-of", "2026-11-18", "--events", str(events)]
    for source, piped in ((str(fails), b""), ("-", fails.read_bytes())):
        result = invoke([call[0], source, *call[2:]], input=piped)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line["status"] for line in lines] == ["rejected"] * 5
        message = "several records have this cusip: F-1, F-2, F-3 and more"
        assert all(message in line["error"]["message"] for line in lines)


def test_rows_of_a_cusip_join_each_record_without_fail_id(tmp_path: Path) -> None:
    """Rule: a record without fail_id counts as one record, by its line."""
    record = a_fail(cusip=MSFT)
    record.pop("fail_id", None)
    events = write_lines(tmp_path, {"cusip": MSFT, **PURCHASE})
    call = ["clock", "-", "--as-of", "2026-11-18", "--events", str(events)]
    for count, status in ((1, "ok"), (2, "rejected")):
        result = invoke(call, input=(json.dumps(record) + "\n") * count)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line["status"] for line in lines] == [status] * count, lines


@pytest.mark.parametrize(
    ("other", "path"),
    [({"cusip": "00165C104"}, "/cusip"), ({"symbol": "AMC"}, "/symbol")],
)
def test_rows_of_a_fail_with_another_security_are_refused(
    tmp_path: Path, other: dict[str, str], path: str
) -> None:
    """Rule: a row with the right fail_id and another CUSIP or symbol is a wrong row."""
    events = read_events(write_lines(tmp_path, {"fail_id": "F-1", **other, **PURCHASE}))
    joined = join(fail(symbol="MSFT"), events=events)
    assert isinstance(joined, Problem)
    assert joined.path == path
    [(field, value)] = other.items()
    assert f"{field} {value}, which line 1 of" in joined.message
    same = {"fail_id": "F-1", "cusip": MSFT, "symbol": "MSFT", **PURCHASE}
    agreeing = read_events(write_lines(tmp_path, same))
    assert facts_of(join(fail(symbol="MSFT"), events=agreeing)).events


def test_rows_of_a_fail_with_two_cusips_are_refused(tmp_path: Path) -> None:
    """Rule: the rows of one fail_id name one security."""
    rows = [{"fail_id": "F-1", "cusip": cusip, **PURCHASE} for cusip in (MSFT, "00165C104")]
    with pytest.raises(UsageError, match=r'2: cusip is "00165C104"; accepted: 594918104, which'):
        read_events(write_lines(tmp_path, rows[0], {**rows[1], "id": "P-2"}))


@pytest.mark.parametrize(
    ("listed", "own", "is_joined"),
    [("BRK/B", "BRK.B", True), ("BRKB", "BRK B", True), ("ABCpA", "ABCPA", False)],
)
def test_symbols_join_without_separators_in_their_case(
    tmp_path: Path, listed: str, own: str, is_joined: bool
) -> None:
    """Rule: houses write separators in several ways; a small letter marks another security."""
    header = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Filler"
    text = f"{header}\n{listed}|A|Q|Y|\n20261117210501\n"
    lists = [write(tmp_path, text, "nasdaqth20261117.txt")]
    events = write_lines(tmp_path, {"symbol": listed, **PURCHASE})
    facts = FileJoin(None, events, lists)(fail(symbol=own))
    assert isinstance(facts, FailRecord)
    found = facts.clock_facts
    assert (found is not None and bool(found.events), bool(found and found.threshold_days)) == (
        is_joined,
        is_joined,
    )


def test_rows_under_two_names_of_a_record_are_refused(tmp_path: Path) -> None:
    """Rows under the name of the fail and under its CUSIP are two series: neither is taken."""
    lines = ({"fail_id": "F-1", **PURCHASE}, {"cusip": MSFT, **PURCHASE})
    joined = join(fail(), events=read_events(write_lines(tmp_path, *lines)))
    assert isinstance(joined, Problem)
    assert "rows for fail_id F-1 or for cusip 594918104, not for both" in joined.message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2026-11-17", "11/17/2026", 'history.csv:3: date is "11/17/2026"; accepted: a date, YYYY'),
        ("2026-11-17", "2026-11-16", 'history.csv:3: date is "2026-11-16"; accepted: a date after'),
        ("2026-11-17", "2026-11-31", 'history.csv:3: date is "2026-11-31"; accepted: a date, YYYY'),
        ("20261116", "yesterday", 'history.csv:3: trade_date is "yesterday"; accepted: a date'),
        ('"1,200"', "1.5", 'history.csv:3: qty is "1.5"; accepted: a whole number of shares'),
        ('"1,200"', "-5", "history.csv:3: qty is -5; accepted: a whole number from 0 to 1,0"),
        ('"1,200"', "", "history.csv:3: qty is missing; accepted: a whole number from 0 to 1,0"),
        ("short", "shrt", 'history.csv:3: sale_type is "shrt"; accepted: deemed_to_own, lo'),
        (f"17,{MSFT}", "17,594918105", 'history.csv:3: cusip is "594918105"; accepted: nine'),
        (f"17,{MSFT}", "17,", 'history.csv:3: fail_id is ""; accepted: a fail_id, cusip or symbol'),
        (",20261116", ",20261116,x", "history.csv:3: row is "),
        ("qty", "quantity", "history.csv:1: column 'quantity' is not known; accepted: the columns"),
        ("open_qty", "qty", "history.csv:1: column 'qty' stands twice; accepted: the columns"),
        ("cusip,qty", "cusip,new", "history.csv:1: column 'new' stands twice"),
        ("date,cusip", "trade_date,cusip", "history.csv:1: column 'trade_date' stands twice"),
    ],
)
def test_history_with_a_fault_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A fault of a history names file, line, field, value and what is accepted."""
    with pytest.raises(UsageError) as raised:
        read_history(write(tmp_path, CSV.replace(old, new, 1)))
    assert message in str(raised.value)
    assert raised.value.cure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column date is missing"),
        ("date,cusip\n", "column qty is missing"),
        ("date,qty\n", "column fail_id or cusip or symbol is missing"),
    ],
)
def test_history_without_its_columns_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A history in CSV has a date, a quantity and the name of a fail."""
    with pytest.raises(UsageError, match=message):
        read_history(write(tmp_path, text))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**PURCHASE, "type": "buy"}, 'events.jsonl:1: type is "buy"; accepted: allocation, bor'),
        ({**PURCHASE, "at": "2026-11-31"}, 'events.jsonl:1: at is "2026-11-31"; accepted: YYYY'),
        ({**PURCHASE, "at": "noon"}, 'events.jsonl:1: at is "noon"; accepted: YYYY-MM-DD'),
        ({**PURCHASE, "until": "soon"}, 'events.jsonl:1: until is "soon"; accepted: a date'),
        ({**PURCHASE, "qty": 0}, "events.jsonl:1: qty is 0; accepted: a whole number from 1"),
        ({**PURCHASE, "quantity": 1}, "events.jsonl:1: quantity is not a known field; accepted: "),
        ({"type": "purchase"}, "events.jsonl:1: at is missing; accepted: YYYY-MM-DD or"),
        ({**PURCHASE, "fail_id": 7}, 'events.jsonl:1: fail_id is "7"; accepted: text of up to'),
        ([1], "events.jsonl:1: line is "),
    ],
)
def test_events_with_a_fault_are_refused(tmp_path: Path, row: object, message: str) -> None:
    """A fault of an event names file, line, field, value and what is accepted."""
    named = {"cusip": MSFT, **row} if isinstance(row, dict) else row
    with pytest.raises(UsageError) as raised:
        read_events(write_lines(tmp_path, named))
    assert message in str(raised.value)


def test_events_with_one_id_twice_are_refused(tmp_path: Path) -> None:
    """An id names one event of a fail. Another fail may have the same."""
    event = {"cusip": MSFT, **PURCHASE}
    read_events(write_lines(tmp_path, event, {**event, "cusip": "00165C104"}))
    with pytest.raises(UsageError, match=r"events.jsonl:2: id is .P-1.; accepted: an id that no"):
        read_events(write_lines(tmp_path, event, event))


def test_every_fault_of_a_file_is_listed_up_to_a_bound(tmp_path: Path) -> None:
    """All faults are reported at once, the first twenty with their lines."""
    path = write_lines(tmp_path, *({"cusip": MSFT} for _ in range(15)))
    with pytest.raises(UsageError) as raised:
        read_events(path)
    lines = str(raised.value).splitlines()
    assert lines[0] == f"{path} has 30 faults:"
    assert lines[1].startswith("  line 1: at is missing")
    assert lines[-1] == f"  and {30 - limits.PROBLEMS} more"


def test_clock_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(UsageError, match=r"none.csv: cannot be read"):
        FileJoin(tmp_path / "none.csv", None)
    bad = write(tmp_path, "Symbol|CompanyName\nAMC\n", "list20261117.txt")
    with pytest.raises(UsageError, match=r"list20261117.txt:2: row is "):
        FileJoin(None, None, [bad])


def test_clock_command_joins_its_files(tmp_path: Path) -> None:
    """`finops clock` counts from the joined history, and says which rows belong to no record."""
    fails = write_lines(
        tmp_path,
        {
            **a_fail(fail_id="F-1", cusip=MSFT, cns_direction="FTD", side="Sell"),
            "clock_facts": {"settlement_date": "2026-11-16", "sale_type": "short"},
        },
        name="fails.jsonl",
    )
    text = f"date,cusip,qty,open_qty\n2026-11-16,{MSFT},500,\n2026-11-17,{MSFT},0,0\n"
    history = write(tmp_path, text + "2026-11-17,00165C104,5,\n")
    call = ["clock", str(fails), "--as-of", "2026-11-17T17:00", "--history", str(history)]
    result = invoke([*call, "--format", "jsonl"])
    line = json.loads(result.stdout)
    assert line["status"] == "ok", line
    assert line["clock"]["obligations"][0]["state"] == "cured"
    assert f"no record has the rows of cusip 00165C104 in {history}" in result.stderr
    without = json.loads(invoke([*call[:4], "--format", "jsonl"]).stdout)
    assert without["clock"]["obligations"][0]["state"] == "breached"
