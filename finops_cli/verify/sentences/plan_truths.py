"""Collect what the texts of a plan may say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from itertools import accumulate, permutations
from typing import get_args

from msgspec import UnsetType

from finops_cli.domain.enums import Action
from finops_cli.domain.fail import Ftr, RelatedFail
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import age_days, days_left
from finops_cli.rules.gridlock import assess
from finops_cli.verify.sentences.claims import Value
from finops_cli.verify.sentences.truths import (
    Truths,
    add_days_left,
    add_deadline,
    add_tier_limits,
)

_RECEIPTS = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")
_MILESTONES = {
    "CHASE_FTR": ("chase",),
    "OFFSET_FTR": ("net", "chase"),
    "NET_GRIDLOCK": ("net", "chase"),
    "APPLY_BOX": ("box",),
    "DEPOT_MOVEMENT": ("depot",),
    "INITIATE_RECALL": ("recall",),
    "SOURCE_BORROW": ("borrow",),
}
"""The names by which a sentence calls the end of a step."""
_SOURCE_NAMES = ("chase", "net", "box", "depot", "recall", "borrow")
_NETS = ("OFFSET_FTR", "NET_GRIDLOCK")
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
    for role in ("residual", "left", "escalate"):
        truths.add(f"quantity:{role}", plan.residual_short)
    truths.add("quantity:total", plan.total_coverable)
    truths.add("number:coverage", *(step.coverage_after_step_pct for step in plan.resolution_steps))
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
    _add_milestones(truths, plan, case)
    fallbacks = (plan.fallback_strategy, plan.secondary_fallback)
    truths.order = (*(step.action for step in plan.resolution_steps), *fallbacks)
    for role in ("gridlock", "among"):
        truths.add(f"party:{role}", *plan.gridlock_parties)
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
    if plan.total_coverable:
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
    told = range(max(0, len(receipts) - _FULL_SENTENCES), len(receipts) + 1)
    truths.add("count:some_receipts", *told, plan.additional_ftrs_chased)
    truths.add("count:receipts", len(receipts), len(receipts) + plan.additional_ftrs_chased)
    chased = {step.dtc for step in receipts if step.dtc is not None}
    truths.add("count:parties", len(chased), len(plan.gridlock_parties))
    truths.party_order = tuple(step.dtc for step in receipts if step.dtc is not None)
    for role, kinds in (("chase", ("CHASE_FTR",)), ("net", _NETS), ("receipts", _RECEIPTS)):
        _add_receipts(truths, role, [step for step in receipts if step.action in kinds])
    truths.undecided["party:chase"] |= {step.dtc for step in receipts if step.dtc is not None}
    truths.add("party:from", *(step.dtc for step in receipts if step.dtc is not None))
    truths.add("party:notice", *_names(steps, "BUY_IN_NOTICE"))
    for role, action in (
        ("apply", "APPLY_BOX"),
        ("box", "APPLY_BOX"),
        ("depot", "DEPOT_MOVEMENT"),
        ("cash", "SPO_SETTLEMENT"),
    ):
        truths.add(f"quantity:{role}", *(step.qty for step in steps if step.action == action))
    truths.add("quantity:left", *(step.remaining_short for step in steps))
    truths.add("bare:shares", *(step.qty for step in steps), plan.residual_short)


def _add_milestones(truths: Truths, plan: Resolution, case: ResolverInput | None) -> None:
    """Add what is covered and what is left after each kind of step, and after all of them.

    Without the case, the coverage after a fallback and the covered shares are not known.
    """
    owed = None if case is None else case.ftd_qty
    left = 0 if owed is None else owed
    for name in (*_SOURCE_NAMES, "all", "end"):
        _add_milestone(truths, name)
    for number, step in enumerate(plan.resolution_steps, start=1):
        left = step.remaining_short
        for name in (f"step {number}", *_MILESTONES.get(step.action, ())):
            _add_milestone(truths, name, left, owed)
            truths.add(f"number:coverage@{name}", step.coverage_after_step_pct)
    _add_milestone(truths, "all", left, owed)
    for strategy, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        if strategy in _MILESTONES:
            left = max(0, left - qty)
            _add_milestone(truths, _MILESTONES[strategy][0], left, owed)
    _add_milestone(truths, "all", left, owed)
    for name in ("all", "end"):
        _add_milestone(truths, name, plan.residual_short, owed)
    if case is None:
        truths.forget(*(role for role in truths.true if role.startswith("quantity:covered@")))
        truths.forget(*(f"number:coverage@{name}" for name in ("recall", "borrow", "all", "end")))


def _add_milestone(
    truths: Truths, name: str, left: int | None = None, owed: int | None = None
) -> None:
    """Add the shares that are `left` of `owed` after a step; without them, nothing is true."""
    truths.add(f"quantity:left@{name}", *([] if left is None else [left]))
    known = left is not None and owed is not None
    truths.add(f"quantity:covered@{name}", *([owed - left] if known else []))  # type: ignore[operator]
    percent = [Decimal(100 * (owed - left)) / owed] if known and owed else []  # type: ignore[operator]
    truths.add(f"number:coverage@{name}", *percent)


def _add_parts(truths: Truths, plan: Resolution, owed: int) -> None:
    """Add the part of the fail that each source covers, and which of two sources gives more."""
    given: dict[str, int] = dict.fromkeys(_SOURCE_NAMES, 0)
    for step in plan.resolution_steps:
        for name in _MILESTONES.get(step.action, ()):
            given[name] += step.qty
    for strategy, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        if strategy in _MILESTONES:
            given[_MILESTONES[strategy][0]] += qty
    for name, qty in given.items():
        truths.add(f"number:part@{name}", Decimal(100 * qty) / owed)
    for larger, smaller in permutations(_SOURCE_NAMES, 2):
        truths.add(
            f"larger:{larger}:{smaller}", *(["yes"] if given[larger] > given[smaller] else [])
        )
    used = [name for name, qty in given.items() if qty and name != "net"]
    truths.add("sole", *(used if len(used) == 1 else []))


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
    truths.add("bare:shares", *totals)
    truths.add(f"party:{role}", *sums)
    pairs = [(step.dtc, Decimal(step.qty)) for step in steps if step.dtc is not None]
    truths.add(f"pair:{role}", *pairs, *((dtc, Decimal(qty)) for dtc, qty in sums.items()))


def _add_case(truths: Truths, plan: Resolution, case: ResolverInput, kb: KnowledgeBase) -> None:
    given, stock = case.triage, case.inventory
    age = age_days(case, kb.scoring)
    truths.add("tier", given.priority_tier)
    truths.add("tier_before", str(kb.scoring.tier.of(given.priority_score)))
    add_tier_limits(truths, given.priority_tier)
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
    _add_parts(truths, plan, owed)
    sold = [each for each in case.related_fails if each.side == "Sell"]
    truths.add("quantity:we_owe", owed, *(each.qty for each in sold))
    truths.add("pair:we_owe", *((each.dtc, Decimal(each.qty)) for each in sold))
    truths.add("quantity:total", min(owed, plan.total_coverable))
    covered = (owed - step.remaining_short for step in plan.resolution_steps)
    truths.add("quantity:covered", *covered, *truths.true["quantity:total"])
    truths.add("quantity:deliver", *(step.qty for step in plan.resolution_steps))
    truths.true["quantity:deliver"] |= truths.true["quantity:covered"]
    truths.undecided["quantity:deliver"].add(Decimal(owed))
    truths.add("quantity:left", max(0, owed - plan.total_coverable + plan.secondary_fallback_qty))
    truths.add("bare:shares", owed)
    for role in ("covered", "left"):
        truths.true["bare:shares"] |= truths.true[f"quantity:{role}"]
    percents = (Decimal(100 * qty) / owed for qty in (plan.total_coverable, plan.residual_short))
    truths.add("number:coverage", *percents)
    lefts = {owed - plan.total_coverable, *(s.remaining_short for s in plan.resolution_steps)}
    truths.add("number:uncovered", *(Decimal(100 * max(0, left)) / owed for left in lefts))
    truths.add("bare:percent", *truths.true["number:coverage"])


def _add_ages(truths: Truths, case: ResolverInput, age: int) -> None:
    parties: tuple[Ftr | RelatedFail, ...] = (*case.ftrs, *case.related_fails)
    for role in ("number:age:days", "number:age", "bare:days"):
        truths.add(role, age, *(each.age_days for each in parties))
    truths.true["bare:days"] |= truths.true["number:left"] | truths.true["number:overdue"]
    truths.add("pair:age", *((each.dtc, Decimal(each.age_days)) for each in parties))


def _add_parties(truths: Truths, case: ResolverInput) -> None:
    parties: tuple[Ftr | RelatedFail, ...] = (*case.ftrs, *case.related_fails)
    truths.add("pair:owed", *((each.dtc, Decimal(each.qty)) for each in parties))
    for role in ("party:any", "party:counterparty"):
        truths.add(role, *(each.dtc for each in parties))
    for role in ("day:settlement", "day:any"):
        truths.add(role, *(ftr.settlement_date for ftr in case.ftrs))
    truths.add("number:cp_rate", *(ftr.cp_fail_rate_pct for ftr in case.ftrs))
    for role in ("receipts", "some_receipts"):
        truths.add(f"count:{role}", len(case.ftrs), len({ftr.dtc for ftr in case.ftrs}))
    owing = {ftr.dtc for ftr in case.ftrs}
    truths.true.setdefault("count:parties", set()).add(Decimal(len(owing)))
    for role in ("bare:shares", "quantity:receipts"):
        truths.add(role, sum(ftr.qty for ftr in case.ftrs), *(ftr.qty for ftr in case.ftrs))


def _add_stock(truths: Truths, plan: Resolution, case: ResolverInput) -> None:
    stock = case.inventory
    truths.add("quantity:box", stock.box_qty)
    truths.add("quantity:depot", stock.depot_qty)
    truths.add("quantity:recallable", stock.recall_outstanding, *truths.true["quantity:recall"])
    truths.add("quantity:borrowable", stock.stock_loan_available, *truths.true["quantity:borrow"])
    if stock.depot_transit_days is not None:
        truths.add("number:transit", stock.depot_transit_days)
    applied = sum(step.qty for step in plan.resolution_steps if step.action == "APPLY_BOX")
    truths.add("quantity:box_left", stock.box_qty - applied)


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
    if step.dtc is None or case is None:
        return truths
    own = [ftr for ftr in case.ftrs if ftr.dtc == step.dtc]
    narrowed = Truths(truths.has_record, dict(truths.true), defaultdict(set, truths.undecided))
    ages: set[Value] = {Decimal(ftr.age_days) for ftr in own}
    for role in ("number:age:days", "number:age", "bare:days"):
        narrowed.true[role] = ages
    narrowed.true["party:any"] = {step.dtc}
    narrowed.true["day:settlement"] = {ftr.settlement_date for ftr in own}
    narrowed.true["quantity:owed"] = {
        *truths.true["quantity:owed"],
        *(Decimal(ftr.qty) for ftr in own),
    }
    narrowed.undecided["party:any"] = truths.true.get("party:any", set())
    if step.action in _RECEIPTS:
        role = "chase" if step.action == "CHASE_FTR" else "net"
        total = sum(ftr.qty for ftr in own)
        narrowed.true[f"quantity:{role}"] = {Decimal(step.qty), Decimal(total)}
        narrowed.true["bare:shares"] = {
            Decimal(qty) for qty in (step.qty, total, case.ftd_qty, *(ftr.qty for ftr in own))
        }
        narrowed.undecided[f"quantity:{role}"] = truths.true.get(f"quantity:{role}", set())
    return narrowed
