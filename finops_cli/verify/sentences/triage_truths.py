"""Collect what the reason of a triage may say."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

from finops_cli.domain.enums import StepAction
from finops_cli.domain.fail import FailRecord, Ftr, RelatedFail
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.sentences.truths import Truths, add_deadline

_STEP_ACTIONS = frozenset(get_args(StepAction)) - {"ESCALATE", "BUY_IN_NOTICE"}
_PARTS = {
    "age": ("age_part",),
    "value": ("value_part",),
    "regulatory": ("regulatory_part",),
    "counterparty": ("cp_part",),
}


def truths_of_triage(answer: Triage, fail: FailRecord | None, kb: KnowledgeBase) -> Truths:
    """Collect what a correct triage bears out; `fail` is its record, where it is known."""
    truths = Truths(has_record=fail is not None)
    truths.add("tier", answer.priority_tier)
    truths.add("tier_before", str(kb.scoring.tier.of(answer.priority_score)))
    truths.add("category", answer.category)
    truths.add("level", answer.escalation_level)
    truths.add("flag", *answer.flags)
    truths.undecided["flag"] |= {"LARGE_POSITION", "ILLIQUID"}
    _add_actions_of_triage(truths, answer)
    _add_score(truths, answer, kb)
    add_deadline(truths, answer.deadline, None if fail is None else fail.age_days)
    if fail is None:
        for role in ("direction", "own_direction"):
            truths.add(role, answer.cns_direction)
        if answer.cns_direction == "N_A":
            truths.undecided["direction"] |= {"FTD", "FTR"}
            truths.undecided["own_direction"] |= {"FTD", "FTR"}
        truths.forget("number:age", "number:value")
    else:
        _add_record(truths, answer, fail)
    tier = answer.priority_tier
    is_urgent = None if tier == "MEDIUM" else tier != "LOW"
    truths.state(
        urgent=is_urgent,
        not_urgent=None if is_urgent is None else not is_urgent,
        has_flags=bool(answer.flags),
        raised=answer.category_priority_override,
        netted_away=answer.lifecycle_state == "OFFSET",
        done=None if answer.lifecycle_state == "OFFSET" else False,
        open=None if answer.lifecycle_state == "OFFSET" else True,
    )
    return truths


def _add_actions_of_triage(truths: Truths, answer: Triage) -> None:
    action = answer.action
    truths.add("action", action)
    if answer.escalation_level != "NONE":
        truths.add("action", "ESCALATE")
    follow = {
        "INITIATE_BUYIN": "BUY_IN_NOTICE",
        "LOCATE_AND_DELIVER": "DELIVER",
        "CONTACT_COUNTERPARTY": "CHASE_FTR",
    }
    if action in follow:
        truths.add("action", follow[action])
    if action != "NO_ACTION":
        truths.undecided["action"] |= _STEP_ACTIONS
        if action in ("INITIATE_BUYIN", "ESCALATE"):
            truths.undecided["action"].add("DELIVER")
    elif answer.lifecycle_state == "OFFSET":
        truths.add("action", "OFFSET_FTR")
    if answer.category == "B2B_PENDING":
        truths.undecided["action"].add("MONITOR_PENDING_RECEIPT")


def _add_score(truths: Truths, answer: Triage, kb: KnowledgeBase) -> None:
    parts = answer.score_components
    base = parts.base_score
    stocked = base * parts.inventory_modifier
    truths.add("number:score", answer.priority_score)
    truths.undecided["number:score"] |= {stocked, stocked * parts.concentration_modifier}
    truths.add("number:cap", kb.scoring.cap)
    truths.add("number:base", base)
    truths.add("number:inventory_modifier", parts.inventory_modifier)
    truths.add("number:concentration_modifier", parts.concentration_modifier)
    for name, factor in kb.scoring.factors_by_field:
        value = getattr(parts, name)
        for label in _PARTS.get(factor.row.word, ()):
            truths.add(f"number:{label}", value, value * factor.weight)
            truths.add(f"number:{label}:points", value * factor.weight)


def _add_record(truths: Truths, answer: Triage, fail: FailRecord) -> None:
    owes = answer.cns_direction == "FTD" or (answer.cns_direction == "N_A" and fail.side == "Sell")
    for role in ("direction", "own_direction"):
        truths.add(role, "FTD" if owes else "FTR")
    if fail.corporate_action is not None:
        truths.undecided["category"].add("CA_EVENT")
    truths.add("cusip", fail.cusip)
    for role in ("quantity:owed", "quantity:escalate", "quantity:deliver", "bare:shares"):
        truths.add(role, fail.qty)
    if fail.cns_position is not None:
        truths.add("quantity:position", abs(fail.cns_position), fail.cns_position)
        truths.add("bare:shares", abs(fail.cns_position))
    if fail.inventory is not None:
        stock = fail.inventory
        truths.add("quantity:box", stock.box_qty)
        truths.add("quantity:recallable", stock.recall_outstanding)
        truths.add("quantity:borrowable", stock.stock_loan_available)
        truths.add("quantity:pending", stock.pending_receives)
    truths.add("number:age:days", fail.age_days)
    truths.add("number:age", fail.age_days)
    truths.add("bare:days", fail.age_days)
    truths.add("number:value", fail.market_value)
    truths.add("bare:usd", fail.market_value)
    truths.add("number:coverage", fail.inventory_coverage_pct)
    truths.add("number:cp_rate", fail.cp_fail_rate_pct)
    truths.add("bare:percent", fail.inventory_coverage_pct, fail.cp_fail_rate_pct)
    if fail.security_fail_rate_pct_adv is not None:
        truths.add("number:adv_rate", fail.security_fail_rate_pct_adv)
        truths.add("number:cp_rate", fail.security_fail_rate_pct_adv)
    for role in ("any", "counterparty", "chase", "deliver", "from"):
        truths.add(f"party:{role}", fail.counterparty)
    if owes:
        truths.add("quantity:we_owe", fail.qty)
        truths.add("pair:we_owe", (fail.counterparty, Decimal(fail.qty)))
    else:
        truths.add("quantity:we_owe")
        truths.add("pair:we_owe")
    others: tuple[Ftr | RelatedFail, ...] = (*fail.ftrs, *fail.related_fails)
    ages = ((each.dtc, Decimal(each.age_days)) for each in others)
    truths.add("pair:age", (fail.counterparty, Decimal(fail.age_days)), *ages)
    truths.undecided["party:any"] |= {each.dtc for each in others}
    coverage = fail.inventory_coverage_pct
    truths.state(
        covered=coverage >= 100,
        residual=coverage < 100,
        no_stock=coverage == 0,
        cns_eligible=fail.cns_eligible,
        sell_side=fail.side == "Sell",
        buy_side=fail.side == "Buy",
    )
