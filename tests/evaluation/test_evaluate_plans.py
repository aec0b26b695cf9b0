"""`finops evaluate --stage resolver`: invariants broken by name, and the shares that plans lose or
make up.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.domain.resolution import ResolverInput
from finops_cli.evaluation.group_counts import PlanCount
from finops_cli.evaluation.plan_coverage import PlanShares, plan_shares
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLVER_INPUT
from tests.support.evaluations import an_outcome, at_fake_ollama, evaluated, lines_of, when
from tests.support.oracle import plan_oracle
from tests.support.program import EXAMPLES


def card_case() -> ResolverInput:
    """The card's example: 12,000 from one counterparty, 8,000 in the box, 5,000 on recall, 3,000 to
    borrow.
    """
    line = (EXAMPLES / "cards/cases.jsonl").read_bytes().splitlines()[0]
    case = RESOLVER_INPUT.read(json.loads(line, parse_float=Decimal))
    assert case is not None
    return case


def test_shares_are_counted_source_by_source(kb: KnowledgeBase) -> None:
    """A forgotten box loses what is in it; shares that a source does not have are overstated and
    cover nothing.
    """
    case = card_case()
    best = resolve(case, kb)
    assert plan_shares(case, best, None, kb).delivered is None
    whole = plan_shares(case, best, best, kb)
    assert (whole.delivered, whole.lost, whole.overstated) == (whole.coverable, 0, 0)
    boxless = replace(
        best,
        resolution_steps=tuple(
            step for step in best.resolution_steps if step.action != "APPLY_BOX"
        ),
    )
    lost = plan_shares(case, best, boxless, kb)
    assert (lost.lost, lost.overstated) == (case.inventory.box_qty, 0)
    doubled = tuple(
        replace(step, qty=2 * step.qty) if step.action == "APPLY_BOX" else step
        for step in best.resolution_steps
    )
    more = plan_shares(case, best, replace(best, resolution_steps=doubled), kb)
    assert (more.lost, more.overstated) == (0, case.inventory.box_qty)


def test_a_depot_counts_when_it_is_in_time(kb: KnowledgeBase) -> None:
    """Days to the deadline, T+13 at the age of 10: what arrives in two is there, what arrives on
    the third is made up.
    """
    case = card_case()
    case = replace(case, triage=replace(case.triage, deadline="T+13"), age_days=10)
    for transit, overstated in ((2, 0), (3, 900), (None, 900)):
        given = replace(
            case, inventory=replace(case.inventory, depot_qty=900, depot_transit_days=transit)
        )
        best = resolve(given, kb)
        without = tuple(step for step in best.resolution_steps if step.action != "DEPOT_MOVEMENT")
        moved = replace(without[-1], action="DEPOT_MOVEMENT", dtc=None, qty=900)
        shares = plan_shares(given, best, replace(best, resolution_steps=(*without, moved)), kb)
        assert (shares.lost, shares.overstated) == (0, overstated)


def test_plans_are_listed_by_number_of_fails_to_receive(kb: KnowledgeBase) -> None:
    """Fewest first, by the number and not by how it is written; below a range comes before it, over
    a range behind.
    """
    ascending = ["below 1", "1-3", "4", "5-10", "11-28", "over 28"]
    count = PlanCount(kb.evaluation)
    for group in sorted(ascending):
        count.add(an_outcome((("FTR count", group),), "none", "resolver", PlanShares(100, 100)))
    assert list(count.by_ftr_count()) == ascending


def test_the_engine_loses_no_share(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The optimal plan against itself, over every number of fails to receive."""
    f = evaluated(tmp_path / "ev", kb, Engine(kb), "resolver", rows=40).metrics
    assert f.shares is not None
    assert (f.shares.lost, f.shares.overstated, f.shares.plans) == (0, 0, 40)
    assert f.shares.delivered == f.shares.coverable > 0
    assert set(f.shares_by_ftr_count) == {"1-3", "5-10", "11-28"}
    assert f.first_answers["right"] == 40


def test_a_forgotten_source_is_told_by_rule_and_in_shares(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """Planted: no plan ever recalls shares.

    Lost shares are what the recalls held, reckoned here from the records alone.
    """

    def no_recall(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["fallback_strategy"] == "INITIATE_RECALL":
            answer |= {"fallback_strategy": "NONE", "fallback_qty": 0}
        return answer

    f = evaluated(
        tmp_path / "ev",
        kb,
        at_fake_ollama(server, kb, when(lambda _: True, no_recall), "resolver"),
        "resolver",
        30,
    ).metrics
    lost = 0
    for record in lines_of(tmp_path / "ev/records.jsonl"):
        best = plan_oracle.resolution(record)
        others = best["total_coverable"] - (
            best["fallback_qty"] if best["fallback_strategy"] == "INITIATE_RECALL" else 0
        )
        lost += min(record["ftd_qty"], best["total_coverable"]) - min(record["ftd_qty"], others)
    assert f.shares is not None
    assert f.shares.lost == lost > 0
    assert set(f.rules) == {"waterfall.fallback"}
    assert (
        f.fields["fallback_strategy"].count
        == f.fields["fallback_strategy"].of - f.rules["waterfall.fallback"].count
    )
    assert f.fields["gridlock_detected"].count == 30
