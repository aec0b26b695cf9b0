"""The clock of a fail from the clock of one of its shares equals the clock of the whole fail."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pytest

from finops_cli.clock.block import _block, clock_block
from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock import Clock
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules.deadlines import deadline_day
from tests.support.records import a_fail

CHOICES: dict[str, tuple[object, ...]] = {
    "settlement_date": (None, "2026-11-10", "2026-11-19", "2012-10-29", "2007-10-10", "2026-11-11"),
    "trade_date": (None, "2026-10-13", "2026-11-18"),
    "sale_type": (None, "short", "long", "deemed_to_own", "market_maker"),
    "sale_type_evidence": (None, "order 4711"),
    "venue": (None, "cns", "ex_clearing"),
    "security_type": (None, "etf", "municipal", "treasury"),
    "customer": (None, True, False),
    "receivable": (None, "distribution"),
    "issuer_reporting": (None, False),
    "rule_144": (None, True),
    "threshold_since": (None, "2026-10-29", "2007-09-04"),
}
DIRECTIONS = (("FTD", "Sell"), ("FTR", "Buy"), ("N_A", "Sell"), ("N_A", "Buy"))
CUSIPS = ("594918104", "037833100", "912828YK0")


def random_fail(chance: Random) -> dict[str, Any]:
    """Return a fail without events, history and lots."""
    facts = {name: chance.choice(values) for name, values in CHOICES.items()}
    direction, side = chance.choice(DIRECTIONS)
    fail = a_fail(
        cusip=chance.choice(CUSIPS),
        qty=chance.randint(1, 10**12),
        market_value=Decimal(chance.randint(0, 10**9)) / 100,
        age_days=chance.choice((0, 1, 3, 12, 13, 30, 60)),
        cns_direction=direction,
        side=side,
        reg_sho_threshold=chance.random() < 0.5,
        clock_facts={name: value for name, value in facts.items() if value is not None},
    )
    del fail["cns_position"]  # it would have to fit the quantity
    return fail


@pytest.mark.parametrize("seed", range(20))
def test_clock_of_one_share_scales_to_the_whole_fail(seed: int, kb: KnowledgeBase) -> None:
    """Rule: every field, texts included, equals the clock that is computed for the fail."""
    chance = Random(seed)
    calendar = builtin_calendar(kb.calendar)
    compared = 0
    for as_of, explain in product(("2026-11-20", "2026-11-20T16:00", "2007-12-06"), (False, True)):
        moment = AsOf(moment=parse_moment(as_of), source="option")
        for _ in range(12):
            fail = parse_fail(random_fail(chance)).value
            assert fail is not None
            given = (fail, moment, deadline_day(fail, kb.triage), calendar, kb.clock, explain)
            found: list[Clock | tuple[str, str]] = []
            for compute in (clock_block, _block):
                try:
                    found.append(compute(*given))
                except Refused as refused:
                    found.append((refused.problem.path, refused.problem.message))
            assert found[0] == found[1]
            compared += isinstance(found[0], Clock)
    assert compared > 10
