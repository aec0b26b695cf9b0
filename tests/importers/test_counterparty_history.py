"""The fail rate of a counterparty, from a file of its trades and fails by day."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.errors import UsageError
from finops_cli.importers.joins.counterparty_history import CounterpartyHistory
from finops_cli.kb.load import bundled_kb_dir, load_kb

KB = load_kb(bundled_kb_dir())
CALENDAR = builtin_calendar(KB.calendar)
AS_OF = date(2026, 11, 30)
HEADER = "date,counterparty,trades,fails\n"


@contextmanager
def opened(path: Path, text: str) -> Iterator[CounterpartyHistory]:
    path.write_text(text)
    history = CounterpartyHistory(path, KB, CALENDAR)
    try:
        yield history
    finally:
        history.close()


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        CounterpartyHistory(path, KB, CALENDAR)
    return caught.value.one_line()


def test_rate_is_fails_over_trades_of_the_window(tmp_path: Path) -> None:
    """The window is the 15 settlement days before the day of as-of, and not this day."""
    first = CALENDAR.add(AS_OF, -15, "settlement")
    before = CALENDAR.add(AS_OF, -16, "settlement")
    rows = f"{before},DTC-0352,100,100\n{first},DTC-0352,100,1\n2026-11-27,352,300,9\n"
    with opened(tmp_path / "h.csv", HEADER + rows + f"{AS_OF},DTC-0352,100,100\n") as history:
        rate = history.rate("DTC-0352", AS_OF)
        assert rate is not None
        assert (rate.pct, rate.trades, rate.fails) == (Decimal("2.5"), 400, 10)
        assert (rate.first_day, rate.last_day) == (first, date(2026, 11, 27))
        assert history.rate("DTC-0161", AS_OF) is None


def test_rate_near_an_edge_keeps_its_band(tmp_path: Path) -> None:
    """A rate just over 5 % is not rounded to 5 %, which has another factor."""
    with opened(tmp_path / "h.csv", f"{HEADER}20261127,0352,1000000000,50000001\n") as history:
        rate = history.rate("DTC-0352", AS_OF)
        assert rate is not None
        assert rate.pct == Decimal("5.0000001")


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 999), st.integers(0, 999)),
        unique_by=lambda row: row[0],
        max_size=30,
    )
)
def test_rate_equals_the_sum_over_listed_days(rows: list[tuple[int, int, int]]) -> None:
    """The rate is the sum of fails over the sum of trades, counted day by day."""
    days = {CALENDAR.add(AS_OF, -back, "settlement"): (t, min(t, f)) for back, t, f in rows}
    window = [AS_OF - timedelta(back) for back in range(1, 60)]
    window = [day for day in window if CALENDAR.is_counted(day, "settlement")][:15]
    trades = sum(days.get(day, (0, 0))[0] for day in window)
    fails = sum(days.get(day, (0, 0))[1] for day in window)
    text = "".join(f"{day},DTC-0005,{t},{f}\n" for day, (t, f) in days.items())
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "h", HEADER + text) as each:
        rate = each.rate("DTC-0005", AS_OF)
    if trades == 0:
        assert rate is None
    else:
        assert rate is not None
        assert abs(rate.pct - Decimal(100 * fails) / trades) <= Decimal("0.00005")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,counterparty,fails\n2026-11-27,DTC-0352,3\n", "column trades is missing"),
        (HEADER + "2026-11-27,DTC-0352,,3\n", "trades"),
        (HEADER + "2026-11-27,DTC-0352,2,3\n", 'fails is "3"; accepted: at most 2'),
        (HEADER + "2026-11-26,DTC-0352,2,1\n", "accepted: a settlement day"),
        (HEADER + "11/27/2026,DTC-0352,2,1\n", 'date is "11/27/2026"'),
        (HEADER + "2026-11-27,Acme,2,1\n", 'counterparty is "Acme"'),
        (HEADER + "2026-11-27,DTC-0352,2,1\n2026-11-27,352,2,1\n", "line 2 has that day"),
        (HEADER + "2031-01-02,DTC-0352,2,1\n", "which the calendar covers"),
    ],
)
def test_history_with_a_fault_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A file that cannot give a rate is refused with the line, the value and what is accepted."""
    assert words in refusal(tmp_path / "h.csv", text)


def test_history_in_json_lines_equals_the_csv(tmp_path: Path) -> None:
    """JSON Lines hold the same fields as the columns."""
    text = '{"date": "2026-11-27", "counterparty": "DTC-0352", "trades": 8, "fails": 1}\n'
    with opened(tmp_path / "h.jsonl", text) as history:
        rate = history.rate("DTC-0352", AS_OF)
        assert rate is not None
        assert rate.pct == Decimal("12.5")
