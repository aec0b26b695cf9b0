"""`finops clock` and its subcommands as a user runs them (regulatory-clock, section 13)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

AS_OF = ("--as-of", "2026-11-20")
Object = dict[str, Any]


def short(fail_id: str = "F-1", **facts: object) -> Object:
    """A short sale that settles on 2026-11-19 and is due on 2026-11-20 at 09:30."""
    given = {"settlement_date": "2026-11-19", "sale_type": "short", **facts}
    return a_fail(fail_id=fail_id, age_days=1, reg_sho_threshold=False, clock_facts=given)


def obligation(line: Object, rule: str) -> Object:
    """Return the first obligation of a rule."""
    return next(each for each in line["clock"]["obligations"] if each["rule"] == rule)


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    """Two good records and three bad lines."""
    file = tmp_path / "fails.jsonl"
    file.write_bytes(
        jsonl(short("F-1"), short("F-1"), short("F-2", trade_date="2026-11-14"))
        + b"not a record\n"
        + jsonl(short("F-3", as_of="2026-11-27"))
    )
    return file


def test_clock_writes_a_line_for_each_input_line(fails: Path, finops: Finops) -> None:
    """Rule: lines out are lines in, in order; a bad line is rejected and says why."""
    done = finops("clock", fails, *AS_OF)
    found = rows(done.stdout)
    assert [line["fail_id"] for line in found] == ["F-1", "F-1", "F-2", "line-4", "F-3"]
    states = ["ok", "rejected", "rejected", "rejected", "ok"]
    assert [line["status"] for line in found] == states
    for line, status in zip(found, states, strict=True):
        keys = {"fail_id", "status", "clock"} | ({"error"} if status == "rejected" else set())
        assert set(line) == keys
        assert (line["clock"] is None) == (status == "rejected")
    assert [line["error"]["line"] for line in found[1:4]] == [2, 3, 4]
    assert found[2]["error"]["problems"][0]["path"] == "/clock_facts/trade_date"
    assert b"records 5  rejected 3  breached 0 (shown 0, if short 0)" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("record", "as_of", "status"),
    [
        (short(), "2026-11-20T09:30", 0),
        (short(), "2026-11-20T09:31", 1),
        (short(), "2026-11-20T14:30:00Z", 0),
        (short(), "2026-11-20T14:30:01Z", 1),
        (short(), "2026-11-20T09:31-04:00", 0),
        (short(trade_date="2026-11-14"), "2026-11-20", 1),
        (short(venue="ex_clearing"), "2027-01-04", 0),
    ],
)
def test_clock_exit_status_is_one_for_a_breach(
    record: Object, as_of: str, status: int, finops: Finops
) -> None:
    """Rule: 0 nothing breached, 1 some breached or rejected; 09:30:00 itself is in time."""
    done = finops("clock", "-", "--as-of", as_of, stdin=jsonl(record))
    assert done.returncode == status


def test_clock_as_of_missing_everywhere_is_a_usage_error(finops: Finops) -> None:
    """Rule: as_of missing in the whole file is 2; in some records, these are rejected: 1."""
    done = finops("clock", "-", stdin=jsonl(short("F-1"), short("F-2")))
    assert done.returncode == 2
    assert b"as_of is missing in every record\nfix: give --as-of DATE" in done.stderr
    message = "as_of is missing; accepted: --as-of DATE, or as_of in the clock_facts of the record"
    for line in rows(done.stdout):
        assert line["error"]["problems"][0]["message"] == message
    some = finops("clock", "-", stdin=jsonl(short("F-1"), short("F-2", as_of="2026-11-20")))
    assert [line["status"] for line in rows(some.stdout)] == ["rejected", "ok"]
    assert some.returncode == 1


def test_clock_option_wins_over_as_of_of_the_record(finops: Finops) -> None:
    """Rule: --as-of is used first, then the record; the block says which."""
    record = jsonl(short(as_of="2026-11-27"))
    for options, as_of, source in (
        ((), "2026-11-27T00:00", "record"),
        (AS_OF, "2026-11-20T00:00", "option"),
    ):
        block = rows(finops("clock", "-", *options, stdin=record).stdout)[0]["clock"]
        assert (block["as_of"], block["as_of_source"]) == (as_of, source)


@pytest.mark.parametrize("text", ["20261120", "2026-11-20 09:15", "2026-11-31", "NOW", ""])
def test_clock_as_of_of_another_form_is_refused(text: str, finops: Finops) -> None:
    """Rule: --as-of takes the form of the records, and the word `now`; else 2, without a line."""
    done = finops("clock", "-", "--as-of", text, stdin=jsonl(short()))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"--as-of is {text}. Expected a day or a moment that exists.".encode() in done.stderr


def test_clock_as_of_before_all_years_is_refused(finops: Finops) -> None:
    """Rule: a moment whose conversion leaves the years is refused like one that does not exist."""
    done = finops("clock", "-", "--as-of", "0001-01-01T00:00:00Z", stdin=jsonl(short()))
    assert done.returncode == 2
    done = finops("clock", "-", stdin=jsonl(short(as_of="0001-01-01T00:00:00Z")))
    assert done.returncode == 1
    assert rows(done.stdout)[0]["error"]["problems"][0]["path"] == "/clock_facts/as_of"


def test_clock_as_of_now_is_named_local_clock(finops: Finops) -> None:
    """Rule: only the word `now` reads the clock of the machine, and the block says so."""
    before = datetime.now(UTC)
    block = rows(finops("clock", "-", "--as-of", "now", stdin=jsonl(short())).stdout)[0]["clock"]
    assert block["as_of_source"] == "local_clock"
    shown = datetime.fromisoformat(block["as_of"]).replace(tzinfo=UTC)
    assert 3 * 3600 < (before - shown).total_seconds() < 6 * 3600


ALL_FORMATS = """
import sys
from tests.support.program import call_finops
for name in ("agenda", "jsonl", "ics"):
    done = call_finops("clock", *sys.argv[1:], "--format", name)
    sys.stdout.buffer.write(done.stdout + done.stderr)
"""


@pytest.mark.slow
def test_clock_gives_equal_bytes_in_each_time_zone(tmp_path: Path) -> None:
    """Rule: neither the zone nor the time of the machine changes a byte of any format, nor does the
    way in which the same moment is written.
    """
    file = tmp_path / "fails.jsonl"
    file.write_bytes(jsonl(short("F-1"), short("F-2", sale_type="long")))
    outputs = set()
    for zone, as_of in (
        ("Asia/Kolkata", "2026-11-20T11:45+05:30"),
        ("Pacific/Kiritimati", "2026-11-20T01:15"),
    ):
        command = [sys.executable, "-c", ALL_FORMATS, file, "--as-of", as_of]
        environment = {**os.environ, "TZ": zone, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert b"END:VCALENDAR" in outputs.pop()


def test_local_clock_is_read_in_one_place_only() -> None:
    """Rule: of all that computes or shows a clock, only --as-of now asks for the present time."""
    asks = re.compile(r"\b(now|today|utcnow|localtime|time_ns|tzlocal)\(|\btime\.time\(")
    places = [
        *("clock", "views", "kb", "domain", "rules", "checking", "pipeline/clock.py"),
        *("pipeline/clock_lines.py", "pipeline/calendar_file.py", "commands/clock.py"),
        *("importers/clock_files.py", "importers/threshold", "commands/clock_options.py"),
    ]
    found = [
        (file.name, line.strip())
        for place in places
        for file in sorted((ROOT / "finops_cli" / place).rglob("*.py") or [])
        or [ROOT / "finops_cli" / place]
        for line in file.read_text("utf-8").splitlines()
        if asks.search(line)
    ]
    assert [name for name, _ in found] == ["clock_options.py"]


def test_clock_format_decides_the_form(fails: Path, finops: Finops) -> None:
    """Rule: agenda for people, jsonl for programs, ics for calendars; without a terminal, jsonl."""
    outputs = {
        name: finops("clock", fails, *AS_OF, "--format", name).stdout
        for name in ("agenda", "jsonl", "ics")
    }
    assert outputs["jsonl"] == finops("clock", fails, *AS_OF).stdout
    assert outputs["agenda"].startswith(b"Close-out agenda as of Fri 2026-11-20")
    assert outputs["ics"].startswith(b"BEGIN:VCALENDAR\r\n")
    assert outputs["ics"].count(b"BEGIN:VEVENT") >= 2
    refused = finops("clock", fails, *AS_OF, "--format", "csv")
    assert refused.returncode == 2
    assert b"--format is csv. Expected agenda, jsonl, ics." in refused.stderr


@pytest.mark.parametrize("to_file", [True, False])
def test_clock_agenda_outside_a_terminal_has_80_columns(
    to_file: bool, fails: Path, tmp_path: Path, finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: an agenda in a file or a pipe does not depend on the width of the terminal."""
    written = []
    for columns in ("40", "80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        file = tmp_path / f"agenda-{columns}.txt"
        options = ("--format", "agenda", *(("-o", file) if to_file else ()))
        done = finops("clock", fails, *AS_OF, *options)
        written.append(file.read_bytes() if to_file else done.stdout)
    assert len(set(written)) == 1
    assert 40 < max(len(line) for line in written[0].decode().splitlines()) <= 80


def test_clock_agenda_of_different_moments_is_refused(finops: Finops) -> None:
    """Rule: an agenda has one moment; records with several need --as-of."""
    records = jsonl(short("F-1", as_of="2026-11-20"), short("F-2", as_of="2026-11-23"))
    done = finops("clock", "-", "--format", "agenda", stdin=records)
    assert done.returncode == 2
    assert b"the records have 2 different as_of" in done.stderr
    assert finops("clock", "-", stdin=records).returncode == 1


def test_clock_agenda_without_a_usable_record_says_so(finops: Finops) -> None:
    """Rule: a file without one usable record is never a silent failure."""
    done = finops("clock", "-", "--format", "agenda", stdin=b"not a record\n")
    assert done.returncode == 1
    assert b"records 1  rejected 1" in done.stderr


@pytest.mark.parametrize(("within", "is_shown"), [("0", False), ("2", False), ("3", True)])
def test_clock_within_bounds_the_agenda(within: str, is_shown: bool, finops: Finops) -> None:
    """Rule: --within counts calendar days; duties that are due later are counted, not listed."""
    records = jsonl(short("F-1"), short("F-2", sale_type="long", settlement_date="2026-11-18"))
    options = ("--format", "agenda", "--within", within)
    done = finops("clock", "-", *AS_OF, *options, stdin=records)
    assert b"F-1" in done.stdout
    assert (b"Mon 2026-11-23 09:30" in done.stdout) == is_shown


@pytest.mark.parametrize(
    ("facts", "rule", "counted"),
    [
        ({}, "SHO-204(a)", 1),
        ({"sale_type": "long"}, "SHO-204(a)(1)", 3),
        ({"sale_type": "market_maker", "settlement_date": "2025-01-08"}, "SHO-204(a)(3)", 3),
        ({"sale_type": "deemed_to_own", "trade_date": "2026-08-03"}, "SHO-204(a)(2)", 35),
        ({"settlement_date": "2012-10-29"}, "SHO-204(a)", 1),
        ({"sale_type": "long", "customer": True}, "15c3-3(m)", 10),
        ({"threshold_since": "2005-01-10", "settlement_date": "2026-11-10"}, "SHO-203(b)(3)", 13),
        ({"threshold_since": "2026-11-16", "settlement_date": "2026-11-10"}, "SHO-203(b)(3)", 13),
    ],
)
def test_clock_explain_lists_each_day_with_its_reason(
    facts: Object, rule: str, counted: int, finops: Finops
) -> None:
    """Rule: --explain lists every day from the start to the due date; those that count are as many
    as the rule names, and a weekday that does not count has its reason.
    """
    record = jsonl(short(**{"settlement_date": "2026-11-19", **facts}))
    done = finops("clock", "-", "--as-of", "2026-11-20", "--explain", stdin=record)
    found = obligation(rows(done.stdout)[0], rule)
    days = found["days"]
    assert days[0]["date"] == found["start_date"]
    assert days[-1]["date"] == max(found["due_date"], found["nominal_date"])
    assert sum(day["counted"] for day in days) == counted
    last = max(day["date"] for day in days if day["counted"])
    assert last == found["nominal_date"]
    for day in days[1:]:
        assert day["counted"] or day["reason"] or day["date"] > found["nominal_date"]


def test_clock_without_explain_has_no_days(finops: Finops) -> None:
    """Rule: the days are there on request only, and nothing else changes."""
    record = jsonl(short())
    plain = rows(finops("clock", "-", *AS_OF, stdin=record).stdout)[0]
    full = rows(finops("clock", "-", *AS_OF, "--explain", stdin=record).stdout)[0]
    for each in full["clock"]["obligations"]:
        each.pop("days", None)
    assert full == plain


def test_clock_calendar_moves_the_due_date(tmp_path: Path, finops: Finops) -> None:
    """Rule: a closing of the desk's file does not count, and every block names that calendar."""
    desk = tmp_path / "desk.toml"
    desk.write_text('2026-11-20 = { trading = false, name = "day of mourning" }\n', "utf-8")
    done = finops("clock", "-", *AS_OF, "--calendar", desk, "--explain", stdin=jsonl(short()))
    line = rows(done.stdout)[0]
    found = obligation(line, "SHO-204(a)")
    assert (found["due_date"], line["clock"]["calendar"]["overrides"]) == ("2026-11-23", 1)
    assert found["days"][1] == {
        "date": "2026-11-20",
        "counted": False,
        "reason": "day of mourning",
    }
    refused = finops("clock", "-", *AS_OF, "--calendar", tmp_path / "no.toml", stdin=b"")
    assert refused.returncode == 2
    assert b"no.toml: cannot be read" in refused.stderr


def test_clock_file_called_days_is_read_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finops: Finops
) -> None:
    """Rule: `days` is the subcommand; `./days` and `file days` are a file of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "days").write_bytes(jsonl(short()))
    expected = finops("clock", "-", *AS_OF, stdin=jsonl(short())).stdout
    assert finops("clock", "./days", *AS_OF).stdout == expected
    assert finops("clock", "file", "days", *AS_OF).stdout == expected
    assert finops("clock", "days", *AS_OF).returncode == 2


def test_clock_output_is_a_file_and_never_its_input(fails: Path, finops: Finops) -> None:
    """Rule: -o writes the bytes of stdout, and refuses to overwrite what is read."""
    expected = finops("clock", fails, *AS_OF).stdout
    output = fails.with_name("out.jsonl")
    assert finops("clock", fails, *AS_OF, "-o", output).stdout == b""
    assert output.read_bytes() == expected
    before = fails.read_bytes()
    assert finops("clock", fails, *AS_OF, "-o", fails).returncode == 2
    assert fails.read_bytes() == before


def test_clock_days_prints_each_day_with_its_kinds(finops: Finops) -> None:
    """Rule: `clock days` prints each day, its kinds and the reason, as JSON lines."""
    done = finops("clock", "days", "2026-11-25", "2026-11-28")
    assert done.returncode == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "date": date,
            "trading": trades,
            "settlement": trades,
            "business": trades,
            "counts_204": trades,
            "early_close": is_early,
            "reason": reason,
        }
        for date, trades, is_early, reason in (
            ("2026-11-25", True, False, ""),
            ("2026-11-26", False, False, "Thanksgiving Day, exchange holiday"),
            ("2026-11-27", True, True, "day after Thanksgiving Day, early close"),
            ("2026-11-28", False, False, "Saturday or Sunday"),
        )
    ]


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (("2026-11-28", "2026-11-27"), "TO is 2026-11-27, before FROM, 2026-11-28"),
        (("2026-11-31", "2026-12-01"), "FROM is 2026-11-31. Expected a day that exists."),
        (("2026-11-30", "20261201"), "TO is 20261201. Expected a day that exists."),
        (("2028-12-31", "2029-01-01"), "2029-01-01 is outside the calendar. Expected a day from"),
        (("2003-12-31", "2004-01-01"), "2003-12-31 is outside the calendar. Expected a day from"),
    ],
)
def test_clock_days_refuses_other_days(days: tuple[str, str], message: str, finops: Finops) -> None:
    """Rule: days that do not exist, run backwards or leave the calendar are a usage error."""
    done = finops("clock", "days", *days)
    assert done.returncode == 2
    assert message.encode() in done.stderr
