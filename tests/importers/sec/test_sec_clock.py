"""`finops import sec-fails`: facts for the close-out clock, from the runs of the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.domain import limits
from finops_cli.importers.sec.runs import Histories
from tests.importers.sec.test_sec_fails import AMC, MSFT, REAL, import_sec, records, row, write


def test_sec_settlement_date_is_first_day_of_the_run(tmp_path: Path) -> None:
    """The fail counts from the first day of its run, and its day is known from 16:00. Both are
    assumptions, because a row is the balance of all members.
    """
    path = write(
        tmp_path,
        row("20230301"),
        row("20230302", AMC),
        row("20230303"),
        row("20230306"),
        row("20230307"),
    )
    [record] = records(import_sec(path))
    assert record["age_days"] == 2
    assert record["clock_facts"] == {"as_of": "2023-03-07T16:00", "settlement_date": "2023-03-03"}
    assert {"clock_facts.as_of", "clock_facts.settlement_date"} < {*record["origin"]["assumed"]}


def test_sec_age_counts_from_settlement_date_for_every_row() -> None:
    """On real data, the days of the files from the settlement date to the record's are its age."""
    days = sorted({line[:8] for line in REAL.read_text().splitlines()[1:]})
    for record in records(import_sec(REAL, "--every-day")):
        facts = record["clock_facts"]
        own = record["origin"]["settlement_date"]
        first = facts["settlement_date"].replace("-", "")
        assert days.index(own) - days.index(first) == record["age_days"]
        assert facts["as_of"] == f"{own[:4]}-{own[4:6]}-{own[6:]}T16:00"


def test_sec_history_is_written_only_on_request(tmp_path: Path) -> None:
    """With `--history` a record has the quantities of its run, without days that are not readable.
    A run that broke off leaves nothing behind.
    """
    path = write(
        tmp_path,
        row("20230301", qty=9),
        row("20230302", AMC),
        row("20230303", qty=5),
        row("20230306", qty="x"),
        row("20230307", qty=7),
    )
    assert "fail_history" not in import_sec(path).stdout
    [record] = records(import_sec(path, "--history"))
    assert record["clock_facts"]["fail_history"] == [
        {"date": "2023-03-03", "qty": 5},
        {"date": "2023-03-07", "qty": 7},
    ]
    assert "clock_facts.fail_history" in record["origin"]["assumed"]


def test_sec_history_of_every_day_ends_on_that_day() -> None:
    """The history of a record ends with its own day and quantity, and begins with its run."""
    for record in records(import_sec(REAL, "--every-day", "--history")):
        facts = record["clock_facts"]
        history = facts["fail_history"]
        assert history[0]["date"] == facts["settlement_date"]
        assert history[-1] == {"date": facts["as_of"][:10], "qty": record["qty"]}
        assert len(history) == record["age_days"] + 1


def test_sec_histories_keep_the_last_rows_of_a_run() -> None:
    """A history has at most as many rows as a record may have, the latest ones."""
    histories, days = Histories(), [str(day) for day in range(limits.HISTORY_ROWS + 2)]
    taken = []
    for today in range(len(days)):
        histories.turn()
        taken.append(histories.extend(MSFT, today + 1, today, today))
    rows = list(taken[-1].rows(days))
    assert len(rows) == limits.HISTORY_ROWS
    assert rows[0] == ("2", 3)
    assert list(taken[1].rows(days)) == [("0", 1), ("1", 2)]


@pytest.mark.parametrize("break_day", [True, False])
def test_sec_histories_forget_runs_that_are_over(break_day: bool) -> None:
    """Memory holds the runs of the latest two days only."""
    histories = Histories()
    histories.turn()
    histories.extend(MSFT, 1, 0, 0)
    for _ in range(2 if break_day else 1):
        histories.turn()
    assert (MSFT in histories._before) is not break_day
