"""The command `finops evaluate --stage resolver`: violated rules, and the shares that plans lose or
overstate.
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
from tests.support.evaluations import (
    at_fake_ollama,
    change_when,
    make_outcome,
    read_lines,
    run_evaluation,
)
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


def test_plan_shares_are_lost_or_overstated_by_source(kb: KnowledgeBase) -> None:
    """A plan that omits a source loses its shares. Shares that a source does not have are
    overstated and cover nothing.
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


def test_plan_shares_of_a_late_depot_are_overstated(kb: KnowledgeBase) -> None:
    """Depot shares that arrive before the deadline count as covered. Shares that arrive later, or
    never, are overstated.
    """
    case = card_case()
    case = replace(case, triage=replace(case.triage, deadline="T+13"), age_days=10)
    for transit, overstated in ((2, 0), (3, 900), (None, 900)):
        stocked = replace(
            case, inventory=replace(case.inventory, depot_qty=900, depot_transit_days=transit)
        )
        best = resolve(stocked, kb)
        without = tuple(step for step in best.resolution_steps if step.action != "DEPOT_MOVEMENT")
        moved = replace(without[-1], action="DEPOT_MOVEMENT", dtc=None, qty=900)
        shares = plan_shares(stocked, best, replace(best, resolution_steps=(*without, moved)), kb)
        assert (shares.lost, shares.overstated) == (0, overstated)


def test_plan_groups_are_sorted_by_number_of_receipts(kb: KnowledgeBase) -> None:
    """Groups of plans are sorted by the number of fails to receive, with "below" before a range and
    "over" after it.
    """
    ascending = ["below 1", "1-3", "4", "5-10", "11-28", "over 28"]
    count = PlanCount(kb.evaluation)
    for group in sorted(ascending):
        count.add(
            make_outcome(
                (("FTR count", group),), "none", "resolver", PlanShares(owed=100, coverable=100)
            )
        )
    assert list(count.by_ftr_count()) == ascending


def test_evaluation_of_engine_plans_loses_no_share(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The engine's plans lose and overstate no share, for every number of fails to receive."""
    f = run_evaluation(tmp_path / "ev", kb, Engine(kb), "resolver", rows=40).metrics
    assert f.shares is not None
    assert (f.shares.lost, f.shares.overstated, f.shares.plans) == (0, 0, 40)
    assert f.shares.delivered == f.shares.coverable > 0
    assert set(f.shares_by_ftr_count) == {"1-3", "5-10", "11-28"}
    assert f.first_answers["right"] == 40


def test_evaluation_of_plans_without_recalls_counts_losses(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A model that never recalls shares is reported by rule, and its lost shares equal the shares
    of the missing recalls.
    """

    def no_recall(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["fallback_strategy"] == "INITIATE_RECALL":
            answer |= {"fallback_strategy": "NONE", "fallback_qty": 0}
        return answer

    f = run_evaluation(
        tmp_path / "ev",
        kb,
        at_fake_ollama(server, kb, change_when(lambda _: True, no_recall), "resolver"),
        "resolver",
        30,
    ).metrics
    lost = 0
    for record in read_lines(tmp_path / "ev/records.jsonl"):
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
