"""`finops clock threshold`: the test of the threshold lists (regulatory-clock, section 8.5)."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.threshold_watch import SeriesDay, watch_threshold
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.oracle.clock.records import daily
from tests.support.oracle.clock.threshold import threshold_series
from tests.support.program import Finops
from tests.support.records import jsonl, rows

SHARES = ("--shares-outstanding", "2000000")
"""0.5 % of them are 10,000 shares."""
Object = dict[str, Any]


def watch(finops: Finops, folder: Path, quantities: list[int], *options: str) -> list[Object]:
    """Return the state of each day of a series that starts on 2026-11-02."""
    file = folder / "series.jsonl"
    file.write_bytes(jsonl(*daily("2026-11-02", quantities)))
    done = finops("clock", "threshold", file, *(options or SHARES), "--explain")
    assert done.returncode == 0, done.stderr
    return rows(done.stdout)


def test_threshold_lists_from_the_day_after_five_days(tmp_path: Path, finops: Finops) -> None:
    """Rule: five consecutive days meet the test, the security is listed from the next settlement
    day; five consecutive days below it, it is off from the next one.
    """
    found = watch(finops, tmp_path, [9_999, *[10_000] * 5, 0, 10_000, *[0] * 5, 10_000])
    runs = [0, 1, 2, 3, 4, 5, 0, 1, 0, 0, 0, 0, 0, 1]
    assert [day["run"] for day in found] == runs
    assert [day["over"] for day in found] == [run > 0 for run in runs]
    needed = [5, 4, 3, 2, 1, *[None] * 7, 5, 4]
    assert [day["days_to_threshold"] for day in found] == needed
    left = [*[None] * 5, 5, 4, 5, 4, 3, 2, 1, None, None]
    assert [day["days_to_delisting"] for day in found] == left
    # Day 6 is Monday 9 November; 11 November does not settle. Day 13 is Thursday 19 November.
    assert {day["listed_from"] for day in found[5:]} == {"2026-11-10"}
    assert {day["listed_from"] for day in found[:5]} == {None}
    assert [day["date"] for day in found if day["listed"]] == [day["date"] for day in found[5:12]]
    assert [day["delisted_from"] for day in found[11:]] == [None, "2026-11-20", "2026-11-20"]


def test_threshold_of_january_2005_is_listed_on_the_tenth(tmp_path: Path, finops: Finops) -> None:
    """Rule: five days from 3 to 7 January 2005 give the list of the 10th, as the SEC says."""
    file = tmp_path / "series.csv"
    days = ("2005-01-03", "2005-01-04", "2005-01-05", "2005-01-06", "2005-01-07")
    file.write_text("date,qty\n" + "".join(f"{day},10000\n" for day in days), "utf-8")
    found = rows(finops("clock", "threshold", file, *SHARES).stdout)
    assert len(found) == 1
    assert (found[0]["date"], found[0]["listed_from"]) == ("2005-01-07", "2005-01-10")


@pytest.mark.parametrize("seed", range(40))
def test_threshold_of_random_series_equals_the_oracle(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the state after each day is the one of the second implementation."""
    chance = random.Random(seed)
    quantities = [chance.choice((0, 9_999, 10_000, 10_000, 30_000)) for _ in range(30)]
    series = daily("2026-10-01", sorted(quantities[:15]) + quantities[15:])
    days = [SeriesDay(date.fromisoformat(row["date"]), row["qty"]) for row in series]
    calendar = builtin_calendar(kb.calendar)
    found = [to_builtins(day) for day in watch_threshold(days, 2_000_000, calendar, kb.clock)]
    for number, day in enumerate(found, start=1):
        expected = threshold_series(series[:number], 2_000_000)
        assert {key: day[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("qty", "outstanding", "over"),
    [
        (10_000, 2_000_000, True),
        (10_000, 2_000_001, False),
        (9_999, 1, False),
        (10_000, 1, True),
        (10_001, 2_000_200, True),
        (10_001, 2_000_201, False),
        (10**12 - 1, 10**12, True),
    ],
)
def test_threshold_half_a_percent_is_exact(
    qty: int, outstanding: int, over: bool, tmp_path: Path, finops: Finops
) -> None:
    """Rule: at least 10,000 shares, and quantity times 200 at least the shares outstanding."""
    found = watch(finops, tmp_path, [qty], "--shares-outstanding", str(outstanding))
    assert found[0]["over"] is over


@pytest.mark.parametrize(
    ("qty", "price", "over"),
    [
        (10_000, "5", True),
        (10_000, "5.00", True),
        (10_000, "4.9999", False),
        (10_000, "4.99999999999999999999999999999", False),
        (9_999, "100", False),
        (15_000, "3.3334", True),
        (15_000, "3.3333", False),
    ],
)
def test_threshold_not_reporting_is_the_exact_value(
    qty: int, price: str, over: bool, tmp_path: Path, finops: Finops
) -> None:
    """Rule: an issuer that does not report: 10,000 shares and 50,000 dollars at the last sale."""
    file = tmp_path / "series.csv"
    file.write_text(f"date,qty,last_sale\n2026-11-02,{qty},{price}\n", "utf-8")
    done = finops("clock", "threshold", file, "--not-reporting")
    assert rows(done.stdout)[0]["over"] is over


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("2026-11-02,1", (), "the test needs --shares-outstanding N or --not-reporting"),
        ("2026-11-02,1", (*SHARES, "--not-reporting"), "and not both"),
        ("2026-11-02,1", ("--shares-outstanding", "0"), "--shares-outstanding"),
        (
            "2026-11-02,1\n2026-11-04,1",
            SHARES,
            "accepted: 2026-11-03, the next settlement day; write a quantity of 0 for a day",
        ),
        ("2026-11-03,1\n2026-11-02,1", SHARES, "series.2.date is 2026-11-02; accepted: 2026-11-04"),
        ("2026-11-02,1\n2026-11-02,1", SHARES, "series.2.date is 2026-11-02; accepted: 2026-11-03"),
        (
            "2026-11-11,1",
            SHARES,
            "series.1.date is 2026-11-11; accepted: a settlement day (Veterans Day, bank holiday)",
        ),
        ("2026-11-10,1\n2026-11-13,1", SHARES, "accepted: 2026-11-12, the next settlement day"),
        ("2003-11-10,1", SHARES, "2003-11-10 is outside the calendar"),
        ("2028-12-29,1", SHARES, "2029-01-01 is outside the calendar"),
        ("20261102,1", SHARES, "line 2: date is 20261102"),
        ("2026-11-31,1", SHARES, "line 2: date is 2026-11-31"),
        ("2026-11-02,1.5", SHARES, "line 2: qty is 1.5. Expected whole shares."),
        ("2026-11-02,-1", SHARES, "line 2: qty is -1. Expected whole shares."),
        ("2026-11-02,", SHARES, "line 2: qty is missing. Expected whole shares."),
        ("2026-11-02,1,NaN", SHARES, "line 2: last_sale is NaN"),
        ("2026-11-02,1,-2", SHARES, "line 2: last_sale is -2"),
        ("2026-11-02,10000,9e999999", SHARES, "line 2: last_sale is 9e999999"),
        ("2026-11-02,1,2,3", SHARES, "line 2:"),
        (
            "2026-11-02,10000",
            ("--not-reporting",),
            "series.1.last_sale is missing; accepted: the last sale price, where the issuer does n",
        ),
        ("", SHARES, "has no day"),
    ],
)
def test_threshold_refuses_a_series_with_a_fault(
    text: str, options: tuple[str, ...], message: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a gap does not mean 0 shares, and N is never guessed; each fault is named."""
    file = tmp_path / "series.csv"
    file.write_text(f"date,qty,last_sale\n{text}\n", "utf-8")
    done = finops("clock", "threshold", file, *options)
    assert done.returncode == 2
    assert message.encode() in done.stderr
    assert b"fix: " in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"date": ', "line 1 is not JSON"),
        (b'{"date": "2026-11-02", "qty": 1, "price": 2}', "line 1: price is unknown"),
        (b'{"date": "2026-11-02", "qty": 1e3}', "line 1: qty is 1E+3. Expected whole shares."),
        (b'{"date": "2026-11-02"}', "line 1: qty is missing"),
        (b'{"a": ' + b"[" * 99_999, "line 1 is not JSON"),
        (b"date,quantity\n2026-11-02,1\n", "line 2: quantity is unknown"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_threshold_refuses_another_file(
    content: bytes, message: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a file of another form is a usage error that names the line."""
    file = tmp_path / "series"
    file.write_bytes(content)
    done = finops("clock", "threshold", file, *SHARES)
    assert done.returncode == 2
    assert message.encode() in done.stderr


def test_threshold_file_that_does_not_exist_is_refused(tmp_path: Path, finops: Finops) -> None:
    """Rule: a missing file is a usage error."""
    done = finops("clock", "threshold", tmp_path / "no.csv", *SHARES)
    assert done.returncode == 2
    assert b"no.csv: cannot be read" in done.stderr


def test_threshold_calendar_of_the_desk_decides_the_days(tmp_path: Path, finops: Finops) -> None:
    """Rule: the series has a line for each day that settles in the desk's calendar."""
    series, desk = tmp_path / "series.csv", tmp_path / "desk.toml"
    series.write_text("date,qty\n2026-11-02,1\n2026-11-04,1\n", "utf-8")
    desk.write_text("2026-11-03 = { settlement = false }\n", "utf-8")
    assert finops("clock", "threshold", series, *SHARES).returncode == 2
    done = finops("clock", "threshold", series, *SHARES, "--calendar", desk)
    assert rows(done.stdout)[0]["date"] == "2026-11-04"
