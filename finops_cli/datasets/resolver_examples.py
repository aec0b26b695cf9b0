"""Cases for stage 2: all scenarios, in the mix of complexity of the resolver's model card.

Source: domain specification, section 8; kb `data.*`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal, NamedTuple, cast, get_args

from msgspec.structs import replace

from finops_cli.datasets.sampling import chance, deal_evenly, rng, smallest_deck
from finops_cli.datasets.triage_examples import corporate_action, cusip, tidy
from finops_cli.domain.enums import RelatedCategory, SettlementType
from finops_cli.domain.fail import CorporateAction, FailRecord, Ftr, Inventory, RelatedFail
from finops_cli.domain.money import Percent, RatePercent, Usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.contradictions import find_contradictions
from finops_cli.rules.deadlines import deadline_days
from finops_cli.rules.derivation import coverage_pct
from finops_cli.rules.handoff import handoff
from finops_cli.rules.triage import triage

Scenario = Literal[
    "full_ftr",
    "ftr_box",
    "ftr_box_recall",
    "full_waterfall",
    "gridlock",
    "b2b_notice",
    "ca_spo",
    "depot",
    "cross_date",
    "parallel",
    "problem_cp",
    "zero_inventory",
    "full_inventory",
]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
_CENT = Decimal("0.01")
_TENTH = Decimal("0.1")
_RECEIPTS = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")


class Shares(NamedTuple):
    """The shares that are owed, and the sources that can cover them."""

    owed: int
    box: int
    recall: int
    borrow: int
    depot: int = 0


def cases(
    index: int,
    seed: int,
    kb: KnowledgeBase,
    counts: tuple[int, int] | None = None,
    changed: Callable[[FailRecord], FailRecord] = lambda fail: fail,
) -> Iterator[ResolverInput]:
    """Yield cases for example `index` without end. No fail contradicts itself (kb: `input.*`).

    `datasets.splits.first_in_split` takes the first that belongs to the right split.

    `counts` are the least and the most fails to receive; None: the mix of the model card. `changed`
    edits each fail record before it is triaged and handed over.
    """
    scenario = deal_evenly(SCENARIOS, seed, "scenarios", index)
    tier = deal_evenly(smallest_deck(kb.datasets.ftr_counts), seed, "ftr counts", index)
    draw, rules = rng(seed, "resolver", index), kb.datasets.ftr_tiers
    least, most = counts or (rules[f"{tier}_min_ftrs"], rules[f"{tier}_max_ftrs"])
    while True:
        drawn = _fail(scenario, draw.randint(least, most), f"R-{seed}-{index:08d}", kb, draw)
        if find_contradictions(drawn, kb):
            continue
        fail = changed(drawn)
        case = handoff(fail, triage(fail, kb), kb)
        if isinstance(case, ResolverInput):
            has_age = draw.random() < 0.7 or scenario in ("parallel", "cross_date", "depot")
            # Inputs in the resolver's model card have no age, so some cases have none.
            yield case if has_age else replace(case, age_days=None)


def _fail(
    scenario: Scenario, count: int, fail_id: str, kb: KnowledgeBase, draw: random.Random
) -> FailRecord:
    threshold = draw.random() < 0.2
    age = _age(scenario, threshold, kb, draw)
    ftrs = _ftrs(scenario, count, kb, draw)
    shares = _shares(scenario, sum(ftr.qty for ftr in ftrs), draw)
    in_cns = scenario not in ("b2b_notice", "ca_spo")
    return FailRecord(
        fail_id=fail_id,
        cusip=cusip(draw),
        side="Sell",
        qty=shares.owed,
        counterparty=f"DTC-{draw.randrange(1, 2000):04d}",
        age_days=age,
        market_value=Usd(tidy(shares.owed * draw.randint(50, 40_000) * _CENT)),
        cns_position=-shares.owed if in_cns else None,
        cns_direction="FTD" if in_cns else "N_A",
        reg_sho_threshold=threshold,
        inventory_coverage_pct=Percent(coverage_pct(shares.box, shares.owed)),
        cp_fail_rate_pct=RatePercent(tidy(draw.randint(1, 80) * _TENTH)),
        awaiting_street_receipt=scenario == "b2b_notice",
        corporate_action=_event(draw) if scenario == "ca_spo" else None,
        inventory=_inventory(shares, threshold, age, kb, draw),
        ftrs=tuple(ftrs),
        related_fails=_related(scenario, draw),
    )


def _age(scenario: Scenario, threshold: bool, kb: KnowledgeBase, draw: random.Random) -> int:
    deadline = kb.triage.deadline_threshold if threshold else kb.triage.deadline_standard
    if scenario == "parallel":
        return max(0, deadline - draw.randint(0, kb.waterfall.recall_notice_days))
    if scenario == "cross_date":
        return draw.randint(0, 1)
    if scenario in ("depot", "ftr_box_recall", "full_waterfall"):
        return draw.randint(0, max(0, deadline - kb.waterfall.recall_notice_days - 2))
    return draw.randint(0, deadline + 2)


def _shares(scenario: Scenario, receipts: int, draw: random.Random) -> Shares:
    """Draw sources: large ones where the scenario needs them, random ones elsewhere."""
    unit = max(100, receipts // 2)
    box, recall, borrow, depot = (draw.randint(1, unit) for _ in range(4))
    if scenario == "full_ftr":
        exactly = draw.random() < 0.1
        return Shares(
            receipts if exactly else draw.randint(max(1, receipts // 3), receipts),
            box,
            recall,
            borrow,
        )
    if scenario in ("ftr_box", "cross_date", "problem_cp"):
        return Shares(receipts + draw.randint(1, box), box, recall, borrow)
    if scenario == "ftr_box_recall":
        return Shares(
            receipts + box + draw.randint(1, recall), box, recall, draw.choice((0, borrow))
        )
    if scenario in ("full_waterfall", "parallel"):
        return Shares(receipts + box + recall + draw.randint(1, 2 * borrow), box, recall, borrow)
    if scenario == "zero_inventory":
        return Shares(receipts + draw.randint(1, unit), 0, draw.choice((0, recall)), borrow)
    if scenario == "full_inventory":
        owed = receipts + draw.randint(1, unit)
        return Shares(owed, owed + draw.randint(0, unit), recall, borrow)
    if scenario == "depot":
        return Shares(receipts + box + draw.randint(1, depot), box, recall, borrow, depot)
    return Shares(
        receipts + draw.randint(1, unit),
        draw.choice((0, box)),
        draw.choice((0, recall)),
        draw.choice((0, borrow)),
    )


def _inventory(
    shares: Shares, threshold: bool, age: int, kb: KnowledgeBase, draw: random.Random
) -> Inventory:
    deadline = kb.triage.deadline_threshold if threshold else kb.triage.deadline_standard
    in_time, too_late = (
        draw.randint(0, max(0, deadline - age - 1)),
        max(0, deadline - age) + draw.randint(0, 2),
    )
    transit = draw.choices((in_time, too_late, None), (8, 1, 1))[0] if shares.depot else None
    return Inventory(
        box_qty=shares.box,
        stock_loan_available=shares.borrow,
        recall_outstanding=shares.recall,
        pending_receives=draw.randint(0, shares.owed),
        depot_qty=shares.depot,
        depot_transit_days=transit,
    )


def _event(draw: random.Random) -> CorporateAction:
    """Draw a corporate action. Most have neither path A nor path B, so that cash settlement is
    common.
    """
    return (
        CorporateAction(pre_event_deliverable=False)
        if draw.random() < 0.6
        else corporate_action(draw)
    )


def _ftrs(scenario: Scenario, count: int, kb: KnowledgeBase, draw: random.Random) -> list[Ftr]:
    brokers = _brokers(count, kb, draw)
    base = draw.randint(5, 400) * 100
    spread = (100, 112) if scenario == "gridlock" and draw.random() < 0.7 else (10, 200)
    ftrs = [_ftr(scenario, dtc, base * draw.randint(*spread) // 100, kb, draw) for dtc in brokers]
    if scenario == "b2b_notice":
        ftrs[0] = replace(
            ftrs[0],
            age_days=max(ftrs[0].age_days, kb.waterfall.b2b_notice_min_days),
            settlement_date="T+2",
        )
    elif scenario == "cross_date":
        ftrs[0] = replace(
            ftrs[0],
            age_days=max(ftrs[0].age_days, 1 + kb.waterfall.offset_older_by_days),
            settlement_date="T+1",
        )
    elif scenario == "problem_cp":
        over = RatePercent(tidy(kb.triage.problem_cp_over_pct + draw.randint(1, 150) * _TENTH))
        ftrs[0] = replace(ftrs[0], cp_fail_rate_pct=over, partial_delivery_history=True)
    draw.shuffle(ftrs)
    return ftrs


def _ftr(scenario: Scenario, dtc: str, qty: int, kb: KnowledgeBase, draw: random.Random) -> Ftr:
    jammed = scenario == "gridlock"
    attempts = (
        draw.randint(kb.waterfall.gridlock_min_attempts, 6)
        if jammed
        else draw.choice((None, None, 0, 1, 2, 3))
    )
    return Ftr(
        dtc=dtc,
        qty=max(1, qty),
        age_days=_ftr_age(kb, draw),
        settlement_type=draw.choice(cast(tuple[SettlementType, ...], get_args(SettlementType))),
        settlement_date=draw.choices(("T+0", "T+1", "T+2", "T+3"), (2, 50, 33, 15))[0],
        cp_fail_rate_pct=RatePercent(tidy(draw.randint(1, 80) * _TENTH)),
        partial_delivery_history=not jammed and draw.random() < 0.4,
        chase_attempts=attempts,
    )


def _ftr_age(kb: KnowledgeBase, draw: random.Random) -> int:
    ages = kb.datasets.ftr_ages
    if chance(draw, ages["tail"]):
        return draw.randint(int(ages["tail_min_days"]), int(ages["tail_max_days"]))
    drawn = round(draw.gauss(float(ages["centre"]), float(ages["deviation"])))
    return min(max(drawn, int(ages["normal_min_days"])), int(ages["normal_max_days"]))


def _brokers(count: int, kb: KnowledgeBase, draw: random.Random) -> list[str]:
    """Draw a broker for each receipt; some brokers occur twice.

    A complex case gets at least the number of brokers that it must have.
    """
    distinct = draw.randint(
        min(count, max(kb.datasets.ftr_tiers["complex_brokers"], count - 3)), count
    )
    brokers = [f"DTC-{number:04d}" for number in draw.sample(range(1, 2000), distinct)]
    return brokers + draw.choices(brokers, k=count - distinct)


def _related(scenario: Scenario, draw: random.Random) -> tuple[RelatedFail, ...]:
    """Draw other fails of the desk in the same CUSIP.

    A gridlock of few receipts gets its third broker here.
    """
    count = draw.randint(2, 3) if scenario == "gridlock" else draw.choice((0, 0, 0, 1, 2))
    categories = cast(tuple[RelatedCategory, ...], get_args(RelatedCategory))[:3]
    return tuple(
        RelatedFail(
            category=draw.choice(categories),
            dtc=f"DTC-{draw.randrange(1, 2000):04d}",
            qty=draw.randint(1, 300) * 100,
            side=draw.choice(("Buy", "Sell")),
            age_days=draw.randint(0, 8),
        )
        for _ in range(count)
    )


def scenarios_of(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> frozenset[Scenario]:
    """Return the scenarios that a case and its plan show (kb: `data.scenarios`)."""
    taken = {step.action: step.qty for step in plan.resolution_steps}
    receipts = any(action in taken for action in _RECEIPTS)
    boxed, recalled, borrowed = (
        "APPLY_BOX" in taken,
        "INITIATE_RECALL" in _sources(plan),
        "SOURCE_BORROW" in _sources(plan),
    )
    sourced, covered = recalled or borrowed, plan.residual_short == 0
    days = deadline_days(case, kb.scoring)
    near = days is not None and days <= kb.waterfall.recall_notice_days
    rate = kb.triage.problem_cp_over_pct
    shown: dict[Scenario, bool] = {
        "full_ftr": receipts and covered and not (boxed or sourced or "DEPOT_MOVEMENT" in taken),
        "ftr_box": receipts and boxed and covered and not sourced,
        "ftr_box_recall": receipts and boxed and recalled and not borrowed,
        "full_waterfall": receipts and boxed and recalled and borrowed,
        "gridlock": plan.gridlock_detected,
        "b2b_notice": "BUY_IN_NOTICE" in taken,
        "ca_spo": "SPO_SETTLEMENT" in taken,
        "depot": "DEPOT_MOVEMENT" in taken,
        "cross_date": "OFFSET_FTR" in taken,
        "parallel": near and recalled and borrowed,
        "problem_cp": any(
            ftr.cp_fail_rate_pct > rate and ftr.partial_delivery_history for ftr in case.ftrs
        ),
        "zero_inventory": case.inventory.box_qty + case.inventory.depot_qty == 0,
        "full_inventory": case.inventory.box_qty >= case.ftd_qty,
    }
    return frozenset(name for name, is_shown in shown.items() if is_shown)


def _sources(plan: Resolution) -> tuple[str, str]:
    return plan.fallback_strategy, plan.secondary_fallback
