"""Collect what the texts of a plan may say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from itertools import accumulate
from typing import get_args

from msgspec import UnsetType

from finops_cli.domain.enums import Action
from finops_cli.domain.fail import Ftr, RelatedFail
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import age_days, days_left
from finops_cli.rules.gridlock import assess
from finops_cli.verify.sentences.claims import Value
from finops_cli.verify.sentences.milestones import add_milestones, add_parts
from finops_cli.verify.sentences.truths import (
    Truths,
    add_days_left,
    add_deadline,
    add_edges,
    add_tier_limits,
)

_RECEIPTS = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")
_NETS = ("OFFSET_FTR", "NET_GRIDLOCK")
_IN_HAND = ("APPLY_BOX", "DEPOT_MOVEMENT")
_FULL_SENTENCES = 3
"""Receipts that a narrative may tell one by one before it counts the rest."""
_NEED_CASE = (
    "number:coverage",
    "direction",
    "count:receipts",
    *(f"quantity:{role}" for role in ("box", "depot", "left", "receipts")),
)
"""Roles of a plan that its input has values for too."""
_CLOSE_OUT = {"REG_SHO_CLOSE_OUT": "REG_SHO_CLOSEOUT"}


def truths_of_plan(plan: Resolution, case: ResolverInput | None, kb: KnowledgeBase) -> Truths:
    """Collect what a correct plan bears out; `case` is its input, where it is known."""
    truths = Truths(has_record=case is not None)
    _add_steps(truths, plan)
    for role in ("residual", "left", "escalate", "except"):
        truths.add(f"quantity:{role}", plan.residual_short)
    truths.add("quantity:total", plan.total_coverable)
    is_partial = _is_partial_gridlock(plan, case, kb)
    if is_partial is None:
        truths.undecided["action"] |= {"ESCALATE", "NET_GRIDLOCK"}
    elif is_partial:
        truths.add("action", "ESCALATE")
    elif plan.gridlock_detected:
        truths.add("action", "NET_GRIDLOCK", "OFFSET_FTR")
    truths.state(
        covered=not plan.residual_short,
        residual=plan.residual_short > 0,
        gap=True if plan.residual_short else None,
        gridlock=plan.gridlock_detected,
        partial_gridlock=is_partial,
        full_gridlock=None if is_partial is None else plan.gridlock_detected and not is_partial,
        deliver_nothing=not plan.total_coverable,
        deliver_all=not plan.residual_short,
        pending_counted=False,
        pending_ignored=True,
        bottleneck=is_partial,
        done=False,
        open=True,
    )
    add_milestones(truths, plan, case)
    fallbacks = (plan.fallback_strategy, plan.secondary_fallback)
    truths.step_parties = tuple(step.dtc for step in plan.resolution_steps)
    truths.order = (*(step.action for step in plan.resolution_steps), *fallbacks)
    for role in ("gridlock", "among"):
        truths.add(f"party:{role}", *plan.gridlock_parties)
    truths.add("party:escalate", *(plan.gridlock_parties if is_partial else ()))
    truths.add("party:bottleneck", *(plan.gridlock_parties if is_partial is not False else ()))
    if case is not None:
        _add_case(truths, plan, case, kb)
    else:
        truths.undecided["action"] |= frozenset(get_args(Action)) - {"NO_ACTION", "ESCALATE"}
        truths.undecided["action"].add("DELIVER")  # what an option of a corporate action delivers
        truths.forget(*_NEED_CASE)
    return truths


def _is_partial_gridlock(
    plan: Resolution, case: ResolverInput | None, kb: KnowledgeBase
) -> bool | None:
    """Return whether a gridlock is partial; None where only the unknown input could decide it.

    A gridlock of one party is partial, or full with a single counterparty. The steps decide between
    them: in a full one, no receipt is chased.
    """
    if case is not None:
        return assess(case, kb.waterfall).extent == "partial"
    if len(plan.gridlock_parties) != 1:
        return False
    chased = {step.action for step in plan.resolution_steps if step.dtc is not None}
    if "NET_GRIDLOCK" in chased:
        return False
    return True if "CHASE_FTR" in chased else None


def _add_steps(truths: Truths, plan: Resolution) -> None:
    steps = plan.resolution_steps
    actions = {step.action for step in steps}
    truths.add("action", *actions)
    sources = (
        (plan.fallback_strategy, plan.fallback_qty),
        (
            plan.secondary_fallback,
            plan.secondary_fallback_qty,
        ),
    )
    for role, action in (("recall", "INITIATE_RECALL"), ("borrow", "SOURCE_BORROW")):
        given = [qty for strategy, qty in sources if strategy == action]
        truths.add(f"quantity:{role}", *given)
        truths.add("quantity:sum", plan.fallback_qty + plan.secondary_fallback_qty)
        truths.add(f"party:{role}")
        truths.add("action", *([action] if given else []))
    if plan.residual_short:
        truths.add("action", "ESCALATE")
    if plan.total_coverable and "SPO_SETTLEMENT" not in actions:
        truths.add("action", "DELIVER")
    receipts = [step for step in steps if step.action in _RECEIPTS]
    if receipts:
        truths.add("action", "CONTACT_COUNTERPARTY")
        truths.add("direction", "FTR")
        truths.undecided["action"] |= {"MONITOR_PENDING_RECEIPT", "CHASE_FTR"}
    if any(step.dtc is None for step in receipts):
        truths.add("action", "CHASE_FTR")  # the rationale of the aggregated step says so
    if "BUY_IN_NOTICE" in actions:
        truths.undecided["action"].add("INITIATE_BUYIN")
    _add_counts(truths, plan, receipts)
    truths.add("party:notice", *_names(steps, "BUY_IN_NOTICE"))
    for role, action in (
        ("apply", "APPLY_BOX"),
        ("box", "APPLY_BOX"),
        ("depot", "DEPOT_MOVEMENT"),
        ("cash", "SPO_SETTLEMENT"),
    ):
        truths.add(f"quantity:{role}", *(step.qty for step in steps if step.action == action))
    truths.undecided["quantity:left"] |= {Decimal(step.remaining_short) for step in steps}
    truths.undecided["number:coverage"] |= {step.coverage_after_step_pct for step in steps}
    truths.add("bare:shares")


def _add_counts(truths: Truths, plan: Resolution, receipts: list[Step]) -> None:
    """Add how many receives and participants the steps have, and what comes from each."""
    told = range(max(0, len(receipts) - _FULL_SENTENCES), len(receipts) + 1)
    truths.add("count:some_receipts", *told, plan.additional_ftrs_chased)
    truths.add("count:receipts", len(receipts), len(receipts) + plan.additional_ftrs_chased)
    chased = {step.dtc for step in receipts if step.dtc is not None}
    truths.add("count:parties", len(chased), len(plan.gridlock_parties))
    truths.add("count:gridlocked", len(plan.gridlock_parties))
    truths.add("count:among", len(plan.gridlock_parties))
    truths.receives = tuple((step.dtc or "", Decimal(step.qty)) for step in receipts)
    truths.further_receives = plan.additional_ftrs_chased
    truths.party_order = tuple(step.dtc for step in receipts if step.dtc is not None)
    for role, kinds in (("chase", ("CHASE_FTR",)), ("net", _NETS), ("receipts", _RECEIPTS)):
        _add_receipts(truths, role, [step for step in receipts if step.action in kinds])
    truths.undecided["party:chase"] |= {step.dtc for step in receipts if step.dtc is not None}
    truths.add("party:from", *(step.dtc for step in receipts if step.dtc is not None))


def _names(steps: Iterable[Step], action: str) -> list[str]:
    return [step.dtc for step in steps if step.action == action and step.dtc is not None]


def _add_receipts(truths: Truths, role: str, steps: list[Step]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for step in steps:
        if step.dtc is not None:
            sums[step.dtc] += step.qty
    quantities = [step.qty for step in steps]
    totals = (*quantities, *accumulate(quantities), *accumulate(reversed(quantities)))
    truths.add(f"quantity:{role}", *totals, *sums.values())
    truths.add(f"quantity:{role}:all", *([sum(quantities)] if quantities else []))
    truths.undecided[f"quantity:{role}:all"] |= truths.true[f"quantity:{role}"]
    truths.add(f"party:{role}", *sums)
    pairs = [(step.dtc, Decimal(step.qty)) for step in steps if step.dtc is not None]
    truths.add(f"pair:{role}", *pairs, *((dtc, Decimal(qty)) for dtc, qty in sums.items()))


def _add_case(truths: Truths, plan: Resolution, case: ResolverInput, kb: KnowledgeBase) -> None:
    given, stock = case.triage, case.inventory
    age = age_days(case, kb.scoring)
    truths.add("tier", given.priority_tier)
    truths.add("tier_before", str(kb.scoring.tier.of(given.priority_score)))
    add_tier_limits(truths, given.priority_tier)
    add_edges(truths, kb.scoring)
    truths.add("count:flags", len(given.flags))
    truths.add("category", given.category)
    truths.add("level", given.escalation_level)
    truths.undecided["level"] |= {"L4", "NONE"}
    truths.add("flag", *(_CLOSE_OUT.get(flag, flag) for flag in given.flags))
    truths.undecided["flag"] |= {"PROBLEM_CP"}
    if given.action == "ESCALATE" and not plan.residual_short:
        truths.undecided["action"].add("ESCALATE")  # the triage does, the plan does not have to
    else:
        truths.add("action", given.action)
    truths.add("direction", "FTD", *(["FTR"] if case.ftrs else []))
    truths.add("own_direction", "FTD")
    truths.add("number:score", given.priority_score)
    truths.add("cusip", case.cusip)
    add_deadline(truths, given.deadline, age)
    truths.forget("number:left", "number:overdue")  # the days of the law count, if they are given
    add_days_left(truths, days_left(case, age))
    if not isinstance(case.deadline_days, UnsetType):
        truths.state(has_deadline=None, no_deadline=None)
    truths.state(
        no_stock=None if stock.box_qty == 0 else False,
        has_box=stock.box_qty > 0,
        no_box=stock.box_qty == 0,
        must_act=None if given.action == "MONITOR_PENDING_RECEIPT" else True,
        at_cns=None if given.category != "CNS_FAIL" else True,
        off_cns=None if given.category != "CNS_FAIL" else False,
        nothing_owed=False,
        still_owed=True,
    )
    _add_event(truths, case)
    _add_stock(truths, plan, case)
    _add_shares(truths, plan, case)
    _add_ages(truths, case, age)
    _add_parties(truths, case)
    truths.add("number:notice", kb.waterfall.recall_notice_days)


def _add_shares(truths: Truths, plan: Resolution, case: ResolverInput) -> None:
    owed = case.ftd_qty
    truths.add("quantity:owed", owed)
    add_parts(truths, plan, owed)
    sold = [each for each in case.related_fails if each.side == "Sell"]
    truths.add("quantity:we_owe", owed, *(each.qty for each in sold))
    truths.add("pair:we_owe", *((each.dtc, Decimal(each.qty)) for each in sold))
    truths.add("quantity:total", min(owed, plan.total_coverable))
    steps = plan.resolution_steps
    covered = {Decimal(owed - step.remaining_short) for step in steps}
    truths.add("quantity:covered", *truths.true["quantity:total"])
    truths.undecided["quantity:covered"] |= covered
    truths.add("quantity:deliver", *truths.true["quantity:total"])
    truths.undecided["quantity:deliver"] |= covered | {Decimal(step.qty) for step in steps}
    truths.undecided["quantity:deliver"].add(Decimal(owed))
    if any(step.action == "SPO_SETTLEMENT" for step in steps):
        truths.forget("quantity:deliver")  # the fail is settled in cash
    at_once = {Decimal(step.qty) for step in steps if step.action in _IN_HAND}
    truths.true["quantity:deliver@today"] = {*truths.true["quantity:covered@partial"]}
    truths.undecided["quantity:deliver@today"] |= at_once
    truths.true["quantity:in_hand"] = {*at_once, *truths.true["quantity:deliver@today"]}
    truths.undecided["quantity:left"].add(
        Decimal(max(0, owed - plan.total_coverable + plan.secondary_fallback_qty))
    )
    truths.add("bare:shares", owed)
    truths.add("number:coverage", Decimal(100 * plan.total_coverable) / owed)
    lefts = {owed - plan.total_coverable, *(s.remaining_short for s in plan.resolution_steps)}
    truths.add("number:uncovered", Decimal(100 * plan.residual_short) / owed)
    truths.undecided["number:uncovered"] |= {Decimal(100 * max(0, left)) / owed for left in lefts}


def _add_ages(truths: Truths, case: ResolverInput, age: int) -> None:
    parties: tuple[Ftr | RelatedFail, ...] = (*case.ftrs, *case.related_fails)
    of_parties = {Decimal(each.age_days) for each in parties}
    of_receives = {Decimal(ftr.age_days) for ftr in case.ftrs}
    for unit in (":days", ""):
        truths.add(f"number:age{unit}", age)
        truths.undecided[f"number:age{unit}"] |= of_parties
        truths.true[f"number:receive_age{unit}"] = {*of_receives}
        truths.undecided[f"number:receive_age{unit}"] |= of_parties
    truths.add("pair:age", *((each.dtc, Decimal(each.age_days)) for each in parties))


def _add_parties(truths: Truths, case: ResolverInput) -> None:
    owed: list[Ftr | RelatedFail] = [*case.ftrs]
    owed += [each for each in case.related_fails if each.side == "Buy"]
    sums: defaultdict[str, int] = defaultdict(int)
    for each in owed:
        sums[each.dtc] += each.qty
    truths.add("quantity:owed_to_us:all", sum(sums.values()))
    truths.undecided["quantity:owed_to_us:all"] |= {Decimal(qty) for qty in sums.values()}
    for role in ("pair:owed", "pair:owed_to_us", "pair:any"):
        truths.add(role, *((dtc, Decimal(qty)) for dtc, qty in sums.items()))
        truths.add(role, *((each.dtc, Decimal(each.qty)) for each in owed))
    for role in ("chase", "net"):
        truths.true["pair:any"] |= truths.true[f"pair:{role}"]
    for role in ("party:any", "party:counterparty"):
        truths.add(role, *(each.dtc for each in case.ftrs))
        truths.undecided[role] |= {each.dtc for each in case.related_fails}
    days = {ftr.settlement_date for ftr in case.ftrs}
    truths.true["day:settlement"] = {*days}
    truths.undecided["day:any"] |= days
    truths.add("day:of_party", *(f"{ftr.dtc} {ftr.settlement_date}" for ftr in case.ftrs))
    truths.add("number:cp_rate", *(ftr.cp_fail_rate_pct for ftr in case.ftrs))
    for role in ("receipts", "some_receipts"):
        truths.add(f"count:{role}", len(case.ftrs), len({ftr.dtc for ftr in case.ftrs}))
    owing = {ftr.dtc for ftr in case.ftrs}
    truths.true.setdefault("count:parties", set()).add(Decimal(len(owing)))
    total = sum(ftr.qty for ftr in case.ftrs)
    truths.add("quantity:receipts", total, *(ftr.qty for ftr in case.ftrs))
    truths.add("quantity:receipts:all", total)


def _add_stock(truths: Truths, plan: Resolution, case: ResolverInput) -> None:
    stock = case.inventory
    truths.add("quantity:box_held", stock.box_qty)
    truths.add("quantity:recallable", stock.recall_outstanding, *truths.true["quantity:recall"])
    truths.add("quantity:borrowable", stock.stock_loan_available, *truths.true["quantity:borrow"])
    if stock.depot_transit_days is not None:
        truths.add("number:transit", stock.depot_transit_days)
    applied = sum(step.qty for step in plan.resolution_steps if step.action == "APPLY_BOX")
    truths.add("quantity:box_left", stock.box_qty - applied)
    for role, held in (("quantity:box", stock.box_qty), ("quantity:depot", stock.depot_qty)):
        if truths.true.get(role):  # what the plan takes; what is held says another word
            truths.undecided[role].add(Decimal(held))
        else:
            truths.add(role, held)


def _add_event(truths: Truths, case: ResolverInput) -> None:
    """Add the option that a corporate action leaves, and what follows from it."""
    event = case.corporate_action if case.triage.category == "CA_EVENT" else None
    options = dict.fromkeys(("option_a", "option_b", "option_c"), False)
    if event is not None:
        renamed = "option_c" if event.new_cusip is None else "option_b"
        options["option_a" if event.pre_event_deliverable else renamed] = True
        truths.add("cusip_new", *([event.new_cusip] if event.new_cusip else []))
        truths.add("cusip", *([event.new_cusip] if event.new_cusip else []))
    truths.state(
        **options,
        old_security=options["option_a"] if event is not None else None,
        needs_agreement=True if event is not None else None,
    )


def truths_of_step(truths: Truths, step: Step, case: ResolverInput | None) -> Truths:
    """Narrow what a plan bears out to the rationale of one step: its participant comes first."""
    if case is None:
        return truths
    narrowed = Truths(truths.has_record, dict(truths.true), defaultdict(set, truths.undecided))
    left = Decimal(step.remaining_short)
    for role, value in (
        ("quantity:left", left),
        ("quantity:covered", case.ftd_qty - left),
        ("number:coverage", step.coverage_after_step_pct),
    ):
        narrowed.true[role] = {value}
        narrowed.undecided[role] = truths.undecided.get(role, set()) | truths.true[role]
    narrowed.true["bare:shares"] = {Decimal(step.qty)}
    if step.dtc is not None:
        _narrow_to_receive(narrowed, truths, step, case)
    return narrowed


def _narrow_to_receive(narrowed: Truths, truths: Truths, step: Step, case: ResolverInput) -> None:
    own = [ftr for ftr in case.ftrs if ftr.dtc == step.dtc]
    ages: set[Value] = {Decimal(ftr.age_days) for ftr in own}
    for unit in (":days", ""):
        narrowed.true["bare:days"] = ages
        narrowed.true[f"number:age{unit}"] = narrowed.true[f"number:receive_age{unit}"] = ages
    narrowed.true["party:any"] = {str(step.dtc)}
    narrowed.true["day:settlement"] = {ftr.settlement_date for ftr in own}
    narrowed.true["quantity:owed"] = {
        *truths.true["quantity:owed"],
        *(Decimal(ftr.qty) for ftr in own),
    }
    narrowed.undecided["party:any"] = truths.true.get("party:any", set())
    if step.action in _RECEIPTS:
        role = "chase" if step.action == "CHASE_FTR" else "net"
        total = sum(ftr.qty for ftr in own)
        for name in (f"quantity:{role}", f"quantity:{role}:all", "quantity:receipts:all"):
            narrowed.true[name] = {Decimal(step.qty), Decimal(total)}
        whole = [ftr.qty for ftr in own if ftr.qty > step.qty]  # of which the step takes a part
        narrowed.true["bare:shares"] = {Decimal(qty) for qty in (step.qty, *whole)}
        narrowed.undecided[f"quantity:{role}"] = truths.true.get(f"quantity:{role}", set())
