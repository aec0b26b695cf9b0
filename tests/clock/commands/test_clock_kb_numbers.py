"""Numbers of the clock that a desk can change in its own knowledge base."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.own_kb import change_kb
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

AS_OF = ("--as-of", "2026-11-21")


def clock_of(finops: Finops, kb: Path, **facts: object) -> dict[str, object]:
    """Return the clock of a short sale by the rules in `kb`."""
    given = {"settlement_date": "2026-11-19", "sale_type": "short", **facts}
    stdin = jsonl(a_fail(age_days=1, reg_sho_threshold=False, clock_facts=given))
    [line] = rows(finops("--kb", kb, "clock", "-", *AS_OF, stdin=stdin).stdout)
    return line["clock"]


@pytest.mark.parametrize(("time", "state"), [("23:59", "breached"), ("09:30", "cured")])
def test_purchase_without_an_hour_takes_the_time_of_kb(
    time: str, state: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: moved shares that are given by their day alone take `day_only` of `clock.times`."""
    old = 'day_only = "23:59"'
    kb = change_kb(tmp_path, "regulatory-clock.toml", old, f'day_only = "{time}"')
    purchase = {"type": "purchase", "at": "2026-11-20", "qty": 5000, "net_position": "flat"}
    duty = clock_of(finops, kb, events=[purchase])["obligations"][0]
    assert (duty["rule"], duty["state"]) == ("SHO-204(a)", state)


def test_trade_before_rule_204t_names_the_day_of_kb(tmp_path: Path, finops: Finops) -> None:
    """Rule: the first day of Rule 204T in a basis is that of `clock.eras`."""
    old = 'sho204t_from = "2008-09-18"'
    kb = change_kb(tmp_path, "regulatory-clock.toml", old, 'sho204t_from = "2008-10-17"')
    found = clock_of(finops, kb, settlement_date=None, trade_date="2008-10-01")
    assert found["obligations"][0]["basis"].startswith("before 2008-10-17 no close-out rule")
