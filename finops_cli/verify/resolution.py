"""Check a plan against its input, or without an input for internal consistency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from msgspec import Struct

from finops_cli.domain.finding import Finding
from finops_cli.domain.money import last_place
from finops_cli.domain.resolution import Resolution, Step
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.comparison import compare, equal_within, mismatch

_RECEIPTS = frozenset(("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK"))
_STOCK = frozenset(("APPLY_BOX", "DEPOT_MOVEMENT", "SPO_SETTLEMENT", "PARTIAL_DELIVER"))
_NOTICES = frozenset(("BUY_IN_NOTICE", "PARTIAL_DELIVER"))
_IN_FIELDS = frozenset(("INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE"))

_CHASES = ("CHASE_FTR", "NET_GRIDLOCK")

_STEP_RULES = {
    "step": "plan.numbering",
    "action": "waterfall.action",
    "dtc": "waterfall.counterparty",
    "qty": "waterfall.quantity",
    "settlement_type": "waterfall.settlement",
    "settlement_date": "waterfall.settlement",
    "coverage_after_step_pct": "plan.coverage",
    "remaining_short": "plan.remaining",
}
_PLAN_RULES = {
    "additional_ftrs_chased": "waterfall.chase",
    "fallback_strategy": "waterfall.fallback",
    "fallback_qty": "waterfall.fallback",
    "secondary_fallback": "waterfall.fallback",
    "secondary_fallback_qty": "waterfall.fallback",
    "total_coverable": "plan.total",
    "residual_short": "plan.residual",
    "residual_action": "plan.residual",
    "gridlock_detected": "gridlock.detected",
    "gridlock_parties": "gridlock.parties",
    "escalation_required": "plan.escalation",
}


def check_resolution(
    answer: Resolution,
    kb: KnowledgeBase,
    reference: Resolution | None = None,
    owed: int | None = None,
) -> list[Finding]:
    """Return the findings about `answer`; empty if it is correct.

    `reference` is the plan that the rules give for the input, and `owed` the shares that the input
    owes. If both plans have equally many steps, every field is compared. Otherwise missing and
    superfluous steps are listed and the plan is also checked for consistency.
    """
    if reference is None or answer is reference:
        return own_findings(answer, owed, kb)
    found = [*_steps(answer, reference, kb), *_fields(answer, reference, kb)]
    if found and len(answer.resolution_steps) == len(reference.resolution_steps):
        return found
    paths = {finding.path for finding in found}
    return found + [
        finding for finding in own_findings(answer, owed, kb) if finding.path not in paths
    ]


def _fields(answer: Resolution, reference: Resolution, kb: KnowledgeBase) -> Iterator[Finding]:
    yield from compare(reference, answer, _PLAN_RULES, "", kb.tolerance)
    if bool(answer.escalation_reason) != bool(reference.escalation_reason):
        yield mismatch(
            "plan.escalation",
            "/escalation_reason",
            reference.escalation_reason,
            answer.escalation_reason,
        )


def _steps(answer: Resolution, reference: Resolution, kb: KnowledgeBase) -> Iterator[Finding]:
    got, wanted = answer.resolution_steps, reference.resolution_steps
    if len(got) == len(wanted):
        for i, (step, expected) in enumerate(zip(got, wanted, strict=True)):
            yield from compare(expected, step, _STEP_RULES, f"/resolution_steps/{i}", kb.tolerance)
        return
    matcher = SequenceMatcher(
        None, [_what(step) for step in wanted], [_what(step) for step in got], autojunk=False
    )
    for verdict, wanted_from, wanted_to, got_from, got_to in matcher.get_opcodes():
        if verdict == "equal":
            for expected, i in zip(
                wanted[wanted_from:wanted_to], range(got_from, got_to), strict=True
            ):
                yield from compare(
                    expected, got[i], _TAKEN_RULES, f"/resolution_steps/{i}", kb.tolerance
                )
            continue
        for expected in wanted[wanted_from:wanted_to]:
            message = f"a step is missing here: {_describe(expected)}"
            yield Finding(
                rule="waterfall.step_missing",
                path=f"/resolution_steps/{got_from}",
                expected=expected,
                actual=None,
                message=message,
            )
        for i in range(got_from, got_to):
            message = f"the waterfall gives no such step here: {_describe(got[i])}"
            yield Finding(
                rule="waterfall.step_extra",
                path=f"/resolution_steps/{i}",
                expected=None,
                actual=got[i],
                message=message,
            )


_TAKEN_RULES = {
    field: _STEP_RULES[field] for field in ("qty", "settlement_type", "settlement_date")
}


def _what(step: Step) -> tuple[str, str | None]:
    return (step.action, step.dtc)


def _describe(step: Step) -> str:
    return f"{step.action}{' ' + step.dtc if step.dtc else ''} {step.qty:,} shares"


def own_findings(plan: Resolution, owed: int | None, kb: KnowledgeBase) -> list[Finding]:
    """Check `plan` for consistency.

    `owed` are the shares owed; None: derive them from the plan.
    """
    if owed is None:
        owed = _owed_as_stated(plan)
    found: list[Finding] = []
    steps = _steps_add_up(plan, owed, kb, found)
    _totals_add_up(plan, steps.covered, owed, found)
    _fields_agree(plan, found)
    _fallbacks_agree(plan, found)
    _aggregates_agree(plan, steps.is_aggregated, found)
    _steps_make_sense(plan, found)
    _gridlock_makes_sense(plan, steps.netted, found)
    return found


def _owed_as_stated(plan: Resolution) -> int | None:
    """Return the shares owed that most lines of the plan agree on; None if none can be derived."""
    told: Counter[int] = Counter()
    covered = 0
    for step in plan.resolution_steps:
        covered += step.qty
        told[covered + step.remaining_short] += 1
    if plan.residual_short:
        told[plan.total_coverable + plan.residual_short] += 1
    return told.most_common(1)[0][0] if told else None


def _at_plan(field: str, expected: Any, actual: Any, because: str = "") -> Finding:
    """Return the finding that a field of a plan is not as expected."""
    return mismatch(_PLAN_RULES[field], f"/{field}", expected, actual, because)


def _at_step(i: int, field: str, expected: Any, actual: Any, because: str = "") -> Finding:
    """Return the finding that a field of step `i` (from 0) is not as expected."""
    path = f"/resolution_steps/{i}/{field}"
    return mismatch(_STEP_RULES[field], path, expected, actual, because)


class _AllSteps(Struct, frozen=True):
    """The facts of all steps together, with which the fields of their plan have to agree."""

    covered: int
    is_aggregated: bool
    """True if a step chases counterparties that it does not name."""
    netted: list[str | None]
    """The counterparties of the steps that net a gridlock."""


def _steps_add_up(
    plan: Resolution, owed: int | None, kb: KnowledgeBase, found: list[Finding]
) -> _AllSteps:
    decimals = kb.waterfall.coverage_decimals
    whole, place = 100 * 10**decimals, last_place(decimals)
    covered, is_aggregated, netted = 0, False, []
    for i, step in enumerate(plan.resolution_steps):
        covered += step.qty
        if step.action in _CHASES:
            is_aggregated = is_aggregated or step.dtc is None
            if step.action == "NET_GRIDLOCK":
                netted.append(step.dtc)
        if step.step != i + 1:
            found.append(_at_step(i, "step", i + 1, step.step))
        if not owed:
            continue
        if covered > owed:
            most, because = step.qty - (covered - owed), f"{owed} shares are owed"
            found.append(_at_step(i, "qty", most, step.qty, because))
        remaining = step.remaining_short
        if remaining != owed - covered:
            found.append(_at_step(i, "remaining_short", max(0, owed - covered), remaining))
        units, rest = divmod(covered * whole, owed)  # the plan rounds in another way
        coverage = (units + (2 * rest >= owed)) * place
        stated = step.coverage_after_step_pct
        if coverage != stated and not equal_within(coverage, stated, kb.tolerance):
            because = f"{covered} of {owed} shares"
            found.append(_at_step(i, "coverage_after_step_pct", coverage, stated, because))
    return _AllSteps(covered, is_aggregated, netted)


def _totals_add_up(plan: Resolution, covered: int, owed: int | None, found: list[Finding]) -> None:
    total = covered + plan.fallback_qty + plan.secondary_fallback_qty
    stated = plan.total_coverable
    if stated != total:
        because = "sum of steps and fallbacks"
        found.append(_at_plan("total_coverable", total, stated, because))
    if owed is None:
        return
    residual = owed - stated if owed > stated else 0
    if plan.residual_short != residual:
        because = f"{owed} owed, {stated} coverable"
        found.append(_at_plan("residual_short", residual, plan.residual_short, because))


def _fields_agree(plan: Resolution, found: list[Finding]) -> None:
    short = plan.residual_short > 0
    action = "ESCALATE" if short else "NONE"
    if plan.residual_action != action:
        found.append(_at_plan("residual_action", action, plan.residual_action))
    if plan.escalation_required != short:
        found.append(_at_plan("escalation_required", short, plan.escalation_required))
    if bool(plan.escalation_reason) != short:
        reason, path = "a reason" if short else "", "/escalation_reason"
        found.append(mismatch("plan.escalation", path, reason, plan.escalation_reason))
    has_parties = bool(plan.gridlock_parties)
    if plan.gridlock_detected != has_parties:
        because = "as its parties say"
        found.append(_at_plan("gridlock_detected", has_parties, plan.gridlock_detected, because))


def _fallbacks_agree(plan: Resolution, found: list[Finding]) -> None:
    first, second = plan.fallback_strategy, plan.secondary_fallback
    if (first == "NONE") != (plan.fallback_qty == 0):
        found.append(_at_plan("fallback_qty", _quantity_for(first), plan.fallback_qty))
    if (second == "NONE") != (plan.secondary_fallback_qty == 0):
        stated = plan.secondary_fallback_qty
        found.append(_at_plan("secondary_fallback_qty", _quantity_for(second), stated))
    if second == "INITIATE_RECALL":
        because = "borrow is the last resort"
        found.append(_at_plan("secondary_fallback", "SOURCE_BORROW", second, because))
    elif second == "SOURCE_BORROW" and first != "INITIATE_RECALL":
        because = "recall comes before borrow"
        found.append(_at_plan("fallback_strategy", "INITIATE_RECALL", first, because))


def _quantity_for(strategy: str) -> str | int:
    return 0 if strategy == "NONE" else "more than 0"


def _aggregates_agree(plan: Resolution, is_aggregated: bool, found: list[Finding]) -> None:
    stated = plan.additional_ftrs_chased
    if (stated > 0) != is_aggregated:
        count = "more than 0" if is_aggregated else 0
        because = "counts what the aggregated step holds"
        found.append(_at_plan("additional_ftrs_chased", count, stated, because))


def _steps_make_sense(plan: Resolution, found: list[Finding]) -> None:
    """Check each step against its own action."""
    for i, step in enumerate(plan.resolution_steps):
        action, has_party = step.action, step.dtc is not None
        if action in _IN_FIELDS:
            accepted = tuple(sorted(_RECEIPTS | _STOCK | _NOTICES))
            because = "the plan has its own fields for this action"
            found.append(_at_step(i, "action", accepted, action, because))
            continue
        if (step.qty == 0) != (action in _NOTICES):
            expected = 0 if action in _NOTICES else "more than 0"
            because = "a notice covers nothing" if action in _NOTICES else "a step covers something"
            found.append(_at_step(i, "qty", expected, step.qty, because))
        if has_party and action in _STOCK:
            found.append(_at_step(i, "dtc", None, step.dtc, "stock has no counterparty"))
        elif not has_party and action == "OFFSET_FTR":
            because = "it is netted with a counterparty"
            found.append(_at_step(i, "dtc", "DTC-NNNN", None, because))
        settles = has_party and action in _RECEIPTS
        receipt = "the value of the receipt" if settles else None
        if (step.settlement_type is not None) != settles:
            found.append(_at_step(i, "settlement_type", receipt, step.settlement_type))
        if (step.settlement_date is not None) != settles:
            found.append(_at_step(i, "settlement_date", receipt, step.settlement_date))


def _gridlock_makes_sense(plan: Resolution, netted: list[str | None], found: list[Finding]) -> None:
    """Check the gridlock fields against the steps that net with `netted`."""
    if netted and not plan.gridlock_detected:
        found.append(_at_plan("gridlock_detected", True, False, "its steps net a gridlock"))
    stated = plan.gridlock_parties
    if not stated:
        return
    expected = tuple(sorted({*stated, *[dtc for dtc in netted if dtc is not None]}))
    if stated != expected:
        because = "every party netted with, once, sorted"
        found.append(_at_plan("gridlock_parties", expected, stated, because))
