"""Collect what the reason of a triage may say."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

from finops_cli.domain.enums import Flag, StepAction
from finops_cli.domain.fail import FailRecord, Ftr, RelatedFail
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.sentences.truths import Truths, add_deadline, add_edges, add_tier_limits

_STEP_ACTIONS = frozenset(get_args(StepAction)) - {"ESCALATE", "BUY_IN_NOTICE"}
_WHOLE_PCT = 100
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
    add_tier_limits(truths, answer.priority_tier)
    add_edges(truths, kb.scoring)
    truths.add("category", answer.category)
    truths.add("level", answer.escalation_level)
    truths.add("flag", *answer.flags)
    truths.add("count:flags", len(answer.flags))
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
        still_owed=False if answer.lifecycle_state == "OFFSET" else None,
        must_act=_must_act(answer),
        deliver_nothing=False if answer.action == "LOCATE_AND_DELIVER" else None,
        low_value=_is_lowest(answer, "value_factor", "HIGH_VALUE", kb),
        reliable_cp=_is_lowest(answer, "cp_history_factor", "PROBLEM_CP", kb),
        fresh=_is_lowest(answer, "age_factor", "AGED_FAIL", kb),
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
        if action in ("INITIATE_BUYIN", "ESCALATE", "CONTACT_COUNTERPARTY"):
            truths.undecided["action"].add("DELIVER")
    elif answer.lifecycle_state == "OFFSET":
        truths.add("action", "OFFSET_FTR")
    if answer.category == "B2B_PENDING":
        truths.undecided["action"].add("MONITOR_PENDING_RECEIPT")


def _is_lowest(answer: Triage, name: str, flag: Flag, kb: KnowledgeBase) -> bool | None:
    """Return whether a factor has its lowest band; False with the flag, else None: open."""
    if flag in answer.flags:
        return False
    lowest = next(
        each.table.values[0] for field, each in kb.scoring.factors_by_field if field == name
    )
    return True if getattr(answer.score_components, name) == lowest else None


def _owes_nothing(answer: Triage, owes: bool) -> bool | None:
    """Return whether nothing is owed; None for a dispute, where the trade is not known."""
    if answer.category == "DK_DISPUTE":
        return None
    return not owes or answer.lifecycle_state == "OFFSET"


def _must_act(answer: Triage) -> bool | None:
    """Return whether the desk has to act; a receipt that is only watched is left open."""
    if answer.action in ("NO_ACTION", "MONITOR_PENDING_RECEIPT"):
        return False if answer.action == "NO_ACTION" else None
    return True


def _add_score(truths: Truths, answer: Triage, kb: KnowledgeBase) -> None:
    parts = answer.score_components
    base = parts.base_score
    stocked = base * parts.inventory_modifier
    truths.add("number:score", answer.priority_score)
    truths.undecided["number:score"] |= {stocked, stocked * parts.concentration_modifier}
    truths.add("bare:", answer.priority_score, stocked * parts.concentration_modifier)
    truths.add("number:cap", kb.scoring.cap)
    truths.add("number:base", base)
    truths.add("number:inventory_modifier", parts.inventory_modifier)
    truths.add("number:concentration_modifier", parts.concentration_modifier)
    for name, factor in kb.scoring.factors_by_field:
        value = getattr(parts, name)
        for label in _PARTS.get(factor.row.word, ()):
            truths.add(f"number:{label}", value, value * factor.weight)
            truths.add(f"number:{label}:points", value * factor.weight)
            truths.add(f"number:{label}:factor", value)


def _add_record(truths: Truths, answer: Triage, fail: FailRecord) -> None:
    owes = answer.cns_direction == "FTD" or (answer.cns_direction == "N_A" and fail.side == "Sell")
    for role in ("direction", "own_direction"):
        truths.add(role, "FTD" if owes else "FTR")
    if fail.corporate_action is not None:
        truths.undecided["category"].add("CA_EVENT")
    truths.add("cusip", fail.cusip)
    _add_shares(truths, answer, fail)
    _add_numbers(truths, fail)
    _add_parties(truths, fail, owes)
    coverage = fail.inventory_coverage_pct
    is_at_cns = answer.cns_direction != "N_A" or bool(fail.cns_position)
    is_covered = coverage >= _WHOLE_PCT
    truths.state(
        at_cns=is_at_cns,
        off_cns=not is_at_cns,
        nothing_owed=_owes_nothing(answer, owes),
        covered=is_covered,
        deliver_all=True if is_covered and answer.action == "LOCATE_AND_DELIVER" else None,
        residual=not is_covered,
        no_stock=coverage == 0,
        no_box=None if fail.inventory is None else fail.inventory.box_qty == 0,
        cns_eligible=fail.cns_eligible,
        sell_side=fail.side == "Sell",
        buy_side=fail.side == "Buy",
    )


def _add_shares(truths: Truths, answer: Triage, fail: FailRecord) -> None:
    """Add the quantities of the fail, of its position at CNS and of its inventory."""
    owed = ("owed", "left", "escalate", "deliver")
    for role in (*(f"quantity:{name}" for name in owed), "bare:shares"):
        truths.add(role, fail.qty)
    if fail.cns_position is not None:
        truths.add("quantity:position", abs(fail.cns_position), fail.cns_position)
        truths.add("bare:shares", abs(fail.cns_position))
    elif answer.cns_direction == "N_A":
        truths.add("quantity:position")
    if fail.inventory is not None:
        stock = fail.inventory
        truths.add("quantity:box", stock.box_qty)
        truths.add("quantity:box_held", stock.box_qty)
        truths.add("quantity:left", max(0, fail.qty - stock.box_qty))
        truths.add("quantity:recallable", stock.recall_outstanding)
        truths.add("quantity:borrowable", stock.stock_loan_available)
        truths.add("quantity:pending", stock.pending_receives)


def _add_numbers(truths: Truths, fail: FailRecord) -> None:
    """Add the age, the value and the percentages of the record."""
    coverage = fail.inventory_coverage_pct
    for role in ("number:age:days", "number:age", "bare:days"):
        truths.add(role, fail.age_days)
    for role in ("number:value", "bare:usd"):
        truths.add(role, fail.market_value)
    truths.add("number:coverage", coverage)
    truths.add("number:uncovered", max(Decimal(0), _WHOLE_PCT - coverage))
    truths.add("number:cp_rate", fail.cp_fail_rate_pct)
    if fail.security_fail_rate_pct_adv is not None:
        truths.add("number:adv_rate", fail.security_fail_rate_pct_adv)


def _add_parties(truths: Truths, fail: FailRecord, owes: bool) -> None:
    """Add the counterparty, what we owe it, and the participants of the receives."""
    for role in ("any", "counterparty", "chase", "deliver", "from"):
        truths.add(f"party:{role}", fail.counterparty)
    truths.add("quantity:we_owe", *([fail.qty] if owes else []))
    truths.add("pair:we_owe", *([(fail.counterparty, Decimal(fail.qty))] if owes else []))
    for role in ("quantity:owed_to_us", "quantity:owed_to_us:all"):
        truths.add(role, *([] if owes else [fail.qty]))
    truths.add("pair:owed_to_us", *([] if owes else [(fail.counterparty, Decimal(fail.qty))]))
    for role in ("pair:any", "pair:owed"):
        truths.add(role, (fail.counterparty, Decimal(fail.qty)))
    others: tuple[Ftr | RelatedFail, ...] = (*fail.ftrs, *fail.related_fails)
    ages = ((each.dtc, Decimal(each.age_days)) for each in others)
    truths.add("pair:age", (fail.counterparty, Decimal(fail.age_days)), *ages)
    truths.undecided["party:any"] |= {each.dtc for each in others}
