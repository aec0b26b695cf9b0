"""Collect what the sentences about an answer may say: a set of true values for each role."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import get_args

from finops_cli.domain.enums import Action, StepAction
from finops_cli.domain.fail import FailRecord, Ftr, RelatedFail
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import age_days, days_left
from finops_cli.rules.gridlock import assess
from finops_cli.verify.sentences.claims import Value

_STEP_ACTIONS = frozenset(get_args(StepAction)) - {"ESCALATE", "BUY_IN_NOTICE"}
_RECEIPTS = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")
_NETS = ("OFFSET_FTR", "NET_GRIDLOCK")
_PARTS = {
    "age": ("age", "age_part"),
    "value": ("value", "value_part"),
    "regulatory": ("regulatory_part",),
    "counterparty": ("cp_part",),
}
_FULL_SENTENCES = 3
"""Receipts that a narrative may tell one by one before it counts the rest."""
_NEED_CASE = (
    "number:coverage",
    "direction",
    "count:receipts",
    *(f"quantity:{role}" for role in ("box", "depot", "left", "total", "receipts")),
)
"""Roles of a plan that its input has values for too."""
_CLOSE_OUT = {"REG_SHO_CLOSE_OUT": "REG_SHO_CLOSEOUT"}


@dataclass(slots=True)
class Truths:
    """What an answer bears out.

    A claim in a role without an entry, or whose value is in `undecided`, cannot be judged. Any
    other value that `true` does not have is wrong.
    """

    has_record: bool = True
    """False for an answer without its record: then a claim without a role is passed over."""
    true: dict[str, set[Value]] = field(default_factory=dict)
    undecided: dict[str, set[Value]] = field(default_factory=lambda: defaultdict(set))

    def add(self, role: str, *values: Value | int) -> None:
        """Add true values of a role; without values the role has none that is true."""
        known = self.true.setdefault(role, set())
        known.update(Decimal(each) if isinstance(each, int) else each for each in values)

    false: set[str] = field(default_factory=set)
    """Statements that the answer refutes. Any other that is not true cannot be judged."""

    def state(self, **statements: bool | None) -> None:
        """Add statements that are true or false; None cannot be judged. A later word counts."""
        self.add("statement")
        for name, holds in statements.items():
            self.true["statement"].discard(name)
            self.false.discard(name)
            if holds:
                self.add("statement", name)
            elif holds is not None:
                self.false.add(name)

    def forget(self, *roles: str) -> None:
        """Remove roles whose true values are not all known."""
        for role in roles:
            self.true.pop(role, None)


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
    _add_deadline(truths, answer.deadline, None if fail is None else fail.age_days)
    if fail is None:
        truths.add("direction", answer.cns_direction)
        if answer.cns_direction == "N_A":
            truths.undecided["direction"] |= {"FTD", "FTR"}
        truths.forget("number:age", "number:value")
    else:
        _add_record(truths, answer, fail)
    tier = answer.priority_tier
    is_urgent = None if tier == "MEDIUM" else tier != "LOW"
    truths.state(
        urgent=is_urgent,
        not_urgent=None if is_urgent is None else not is_urgent,
        raised=answer.category_priority_override,
        netted_away=answer.lifecycle_state == "OFFSET",
        done=None if answer.lifecycle_state == "OFFSET" else False,
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
    truths.add(
        "number:score", answer.priority_score, stocked, stocked * parts.concentration_modifier
    )
    truths.add("number:cap", kb.scoring.cap)
    truths.add("number:base", base)
    truths.add("number:inventory_modifier", parts.inventory_modifier)
    truths.add("number:concentration_modifier", parts.concentration_modifier)
    for name, factor in kb.scoring.factors_by_field:
        value = getattr(parts, name)
        for label in _PARTS.get(factor.row.word, ()):
            truths.add(f"number:{label}", value, value * factor.weight)


def _add_deadline(truths: Truths, deadline: str | None, age: int | None) -> None:
    truths.add("day:deadline", *([deadline] if deadline else []))
    truths.state(no_deadline=deadline is None, has_deadline=deadline is not None)
    if age is None:
        return
    truths.add("day:any", f"T+{age}", *([deadline] if deadline else []))
    _add_days_left(truths, None if deadline is None else int(deadline[2:]) - age)


def _add_days_left(truths: Truths, left: int | None) -> None:
    truths.add("number:left", *([left] if left is not None and left >= 0 else []))
    truths.add("number:overdue", *([-left] if left is not None and left <= 0 else []))
    truths.state(
        past_deadline=None if left == 0 else left is not None and left < 0,
        deadline_reached=left is not None and left <= 0,
        deadline_today=left == 0,
        before_deadline=left is not None and left > 0,
    )


def _add_record(truths: Truths, answer: Triage, fail: FailRecord) -> None:
    owes = answer.cns_direction == "FTD" or (answer.cns_direction == "N_A" and fail.side == "Sell")
    truths.add("direction", "FTD" if owes else "FTR")
    if fail.corporate_action is not None:
        truths.undecided["category"].add("CA_EVENT")
    truths.add("cusip", fail.cusip)
    truths.add("quantity:owed", fail.qty)
    truths.add("bare:shares", fail.qty)
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
    for role in ("any", "counterparty", "chase", "deliver"):
        truths.add(f"party:{role}", fail.counterparty)
    others: tuple[Ftr | RelatedFail, ...] = (*fail.ftrs, *fail.related_fails)
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


def truths_of_plan(plan: Resolution, case: ResolverInput | None, kb: KnowledgeBase) -> Truths:
    """Collect what a correct plan bears out; `case` is its input, where it is known."""
    truths = Truths(has_record=case is not None)
    _add_steps(truths, plan)
    truths.add("quantity:residual", plan.residual_short)
    truths.add("quantity:left", plan.residual_short)
    truths.add("quantity:total", plan.total_coverable)
    truths.add("number:coverage", *(step.coverage_after_step_pct for step in plan.resolution_steps))
    is_partial = _is_partial_gridlock(plan, case, kb)
    if is_partial:
        truths.add("action", "ESCALATE")
    elif plan.gridlock_detected:
        truths.add("action", "NET_GRIDLOCK", "OFFSET_FTR")
    truths.state(
        covered=not plan.residual_short,
        residual=plan.residual_short > 0,
        gap=True if plan.residual_short else None,
        gridlock=plan.gridlock_detected,
        partial_gridlock=is_partial,
        bottleneck=is_partial,
        done=False,
    )
    truths.add("party:gridlock", *plan.gridlock_parties)
    truths.add("party:bottleneck", *(plan.gridlock_parties if is_partial else ()))
    if case is not None:
        _add_case(truths, plan, case, kb)
    else:
        truths.undecided["action"] |= frozenset(get_args(Action)) - {"NO_ACTION", "ESCALATE"}
        truths.forget(*_NEED_CASE)
    return truths


def _is_partial_gridlock(plan: Resolution, case: ResolverInput | None, kb: KnowledgeBase) -> bool:
    if case is not None:
        return assess(case, kb.waterfall).extent == "partial"
    nets = any(step.action == "NET_GRIDLOCK" for step in plan.resolution_steps)
    return plan.gridlock_detected and len(plan.gridlock_parties) == 1 and not nets


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
        truths.undecided["action"] |= {"MONITOR_PENDING_RECEIPT", *_RECEIPTS}
    if any(step.dtc is None for step in receipts):
        truths.add("action", "CHASE_FTR")  # the rationale of the aggregated step says so
    if "BUY_IN_NOTICE" in actions:
        truths.undecided["action"].add("INITIATE_BUYIN")
    told = range(max(0, len(receipts) - _FULL_SENTENCES), len(receipts) + 1)
    truths.add("count:receipts", *told, plan.additional_ftrs_chased)
    for role, kinds in (("chase", ("CHASE_FTR",)), ("net", _NETS), ("receipts", _RECEIPTS)):
        _add_receipts(truths, role, [step for step in receipts if step.action in kinds])
    truths.undecided["party:chase"] |= {step.dtc for step in receipts if step.dtc is not None}
    truths.undecided["party:net"] |= truths.undecided["party:chase"]
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
    given, stock, owed = case.triage, case.inventory, case.ftd_qty
    age = age_days(case, kb.scoring)
    truths.add("tier", given.priority_tier)
    truths.add("tier_before", str(kb.scoring.tier.of(given.priority_score)))
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
    truths.add("number:score", given.priority_score)
    truths.add("cusip", case.cusip)
    _add_deadline(truths, given.deadline, age)
    truths.forget("number:left", "number:overdue")  # the days of the law count, if they are given
    _add_days_left(truths, days_left(case, age))
    truths.state(no_stock=None if stock.box_qty == 0 else False)
    _add_stock(truths, plan, case)
    truths.add("quantity:owed", owed)
    covered = (owed - step.remaining_short for step in plan.resolution_steps)
    truths.add("quantity:total", *covered, min(owed, plan.total_coverable))
    truths.add("quantity:left", max(0, owed - plan.total_coverable + plan.secondary_fallback_qty))
    percents = (Decimal(100 * qty) / owed for qty in (plan.total_coverable, plan.residual_short))
    truths.add("number:coverage", *percents)
    truths.add("number:age:days", age, *(ftr.age_days for ftr in case.ftrs))
    truths.add("number:age:days", *(each.age_days for each in case.related_fails))
    truths.true["number:age"] = truths.true["number:age:days"]
    truths.add("number:cp_rate", *(ftr.cp_fail_rate_pct for ftr in case.ftrs))
    truths.add("number:notice", kb.waterfall.recall_notice_days)
    parties: tuple[Ftr | RelatedFail, ...] = (*case.ftrs, *case.related_fails)
    truths.add("pair:age", *((each.dtc, Decimal(each.age_days)) for each in parties))
    truths.add("pair:owed", *((each.dtc, Decimal(each.qty)) for each in parties))
    truths.add("party:any", *(each.dtc for each in parties))
    truths.add("party:counterparty", *(each.dtc for each in parties))
    truths.add("day:settlement", *(ftr.settlement_date for ftr in case.ftrs))
    truths.add("day:any", *(ftr.settlement_date for ftr in case.ftrs))
    truths.add("count:receipts", len(case.ftrs), len({ftr.dtc for ftr in case.ftrs}))
    for role in ("bare:shares", "quantity:receipts"):
        truths.add(role, sum(ftr.qty for ftr in case.ftrs), *(ftr.qty for ftr in case.ftrs))
    truths.add("bare:shares", owed)


def _add_stock(truths: Truths, plan: Resolution, case: ResolverInput) -> None:
    stock = case.inventory
    truths.add("quantity:box", stock.box_qty)
    truths.add("quantity:depot", stock.depot_qty)
    truths.add("quantity:recallable", stock.recall_outstanding, *truths.true["quantity:recall"])
    truths.add("quantity:borrowable", stock.stock_loan_available, *truths.true["quantity:borrow"])
    truths.add("quantity:pending", stock.pending_receives)
    if stock.depot_transit_days is not None:
        truths.add("number:transit", stock.depot_transit_days)
    event = case.corporate_action
    if event is not None and event.new_cusip is not None:
        truths.add("cusip", event.new_cusip)


def truths_of_step(truths: Truths, step: Step, case: ResolverInput | None) -> Truths:
    """Narrow what a plan bears out to the rationale of one step: its participant comes first."""
    if step.dtc is None or case is None:
        return truths
    own = [ftr for ftr in case.ftrs if ftr.dtc == step.dtc]
    narrowed = Truths(truths.has_record, dict(truths.true), defaultdict(set, truths.undecided))
    ages: set[Value] = {Decimal(ftr.age_days) for ftr in own}
    for role in ("number:age:days", "number:age"):
        narrowed.true[role] = ages
    narrowed.true["party:any"] = {step.dtc}
    narrowed.undecided["party:any"] = truths.true.get("party:any", set())
    if step.action in _RECEIPTS:
        role = "chase" if step.action == "CHASE_FTR" else "net"
        total = sum(ftr.qty for ftr in own)
        narrowed.true[f"quantity:{role}"] = {Decimal(step.qty), Decimal(total)}
        narrowed.undecided[f"quantity:{role}"] = truths.true.get(f"quantity:{role}", set())
    return narrowed
