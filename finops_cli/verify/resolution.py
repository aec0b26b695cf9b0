"""Check a plan against its input, or without an input for internal consistency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from difflib import SequenceMatcher

from finops_cli.domain.finding import Finding
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
    return [
        *_steps_add_up(plan, owed, kb),
        *_totals_add_up(plan, owed),
        *_fields_agree(plan),
        *steps_make_sense(plan),
    ]


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


def _steps_add_up(plan: Resolution, owed: int | None, kb: KnowledgeBase) -> Iterator[Finding]:
    covered = 0
    decimals = kb.waterfall.coverage_decimals
    for number, step in enumerate(plan.resolution_steps, start=1):
        covered += step.qty
        path = f"/resolution_steps/{number - 1}"
        if step.step != number:
            yield mismatch("plan.numbering", f"{path}/step", number, step.step)
        if not owed:
            continue
        if covered > owed:
            yield mismatch(
                "waterfall.quantity",
                f"{path}/qty",
                step.qty - (covered - owed),
                step.qty,
                because=f"{owed} shares are owed",
            )
        if step.remaining_short != owed - covered:
            yield mismatch(
                "plan.remaining",
                f"{path}/remaining_short",
                max(0, owed - covered),
                step.remaining_short,
            )
        if (
            coverage := half_up_pct(covered, owed, decimals)
        ) != step.coverage_after_step_pct and not equal_within(
            coverage, step.coverage_after_step_pct, kb.tolerance
        ):
            because = f"{covered} of {owed} shares"
            yield mismatch(
                "plan.coverage",
                f"{path}/coverage_after_step_pct",
                coverage,
                step.coverage_after_step_pct,
                because=because,
            )


def half_up_pct(covered: int, owed: int, decimals: int) -> Decimal:
    """Compute covered / owed in percent from the integer quotient and its remainder.

    The plan computes it in another way.
    """
    units, rest = divmod(covered * 100 * 10**decimals, owed)
    return Decimal(units + (2 * rest >= owed)).scaleb(-decimals)


def _totals_add_up(plan: Resolution, owed: int | None) -> Iterator[Finding]:
    total = (
        sum(step.qty for step in plan.resolution_steps)
        + plan.fallback_qty
        + plan.secondary_fallback_qty
    )
    if plan.total_coverable != total:
        yield mismatch(
            "plan.total",
            "/total_coverable",
            total,
            plan.total_coverable,
            because="sum of steps and fallbacks",
        )
    if owed is not None and plan.residual_short != max(0, owed - plan.total_coverable):
        because = f"{owed} owed, {plan.total_coverable} coverable"
        yield mismatch(
            "plan.residual",
            "/residual_short",
            max(0, owed - plan.total_coverable),
            plan.residual_short,
            because=because,
        )


def _fields_agree(plan: Resolution) -> Iterator[Finding]:
    short = plan.residual_short > 0
    if plan.residual_action != ("ESCALATE" if short else "NONE"):
        yield mismatch(
            "plan.residual",
            "/residual_action",
            "ESCALATE" if short else "NONE",
            plan.residual_action,
        )
    if plan.escalation_required != short:
        yield mismatch("plan.escalation", "/escalation_required", short, plan.escalation_required)
    if bool(plan.escalation_reason) != short:
        yield mismatch(
            "plan.escalation",
            "/escalation_reason",
            "a reason" if short else "",
            plan.escalation_reason,
        )
    in_gridlock = bool(plan.gridlock_parties)
    if plan.gridlock_detected != in_gridlock:
        yield mismatch(
            "gridlock.detected",
            "/gridlock_detected",
            in_gridlock,
            plan.gridlock_detected,
            because="as its parties say",
        )
    yield from _fallbacks_agree(plan)
    aggregated = any(step.dtc is None and step.action in _CHASES for step in plan.resolution_steps)
    if (plan.additional_ftrs_chased > 0) != aggregated:
        count = "more than 0" if aggregated else 0
        because = "counts what the aggregated step holds"
        yield mismatch(
            "waterfall.chase",
            "/additional_ftrs_chased",
            count,
            plan.additional_ftrs_chased,
            because=because,
        )


def _fallbacks_agree(plan: Resolution) -> Iterator[Finding]:
    first, second = plan.fallback_strategy, plan.secondary_fallback
    if (first == "NONE") != (plan.fallback_qty == 0):
        yield mismatch(
            "waterfall.fallback", "/fallback_qty", _quantity_for(first), plan.fallback_qty
        )
    if (second == "NONE") != (plan.secondary_fallback_qty == 0):
        yield mismatch(
            "waterfall.fallback",
            "/secondary_fallback_qty",
            _quantity_for(second),
            plan.secondary_fallback_qty,
        )
    if second == "INITIATE_RECALL":
        yield mismatch(
            "waterfall.fallback",
            "/secondary_fallback",
            "SOURCE_BORROW",
            second,
            because="borrow is the last resort",
        )
    elif second == "SOURCE_BORROW" and first != "INITIATE_RECALL":
        yield mismatch(
            "waterfall.fallback",
            "/fallback_strategy",
            "INITIATE_RECALL",
            first,
            because="recall comes before borrow",
        )


def _quantity_for(strategy: str) -> str | int:
    return 0 if strategy == "NONE" else "more than 0"


def steps_make_sense(plan: Resolution) -> Iterator[Finding]:
    """Check each step against its own action, and the gridlock fields against the steps."""
    nets = False
    for i, step in enumerate(plan.resolution_steps):
        nets = nets or step.action == "NET_GRIDLOCK"
        yield from _step_makes_sense(step, f"/resolution_steps/{i}")
    if nets and not plan.gridlock_detected:
        yield mismatch(
            "gridlock.detected",
            "/gridlock_detected",
            True,
            False,
            because="its steps net a gridlock",
        )
    parties = plan.gridlock_parties
    if parties:
        netted = {
            step.dtc
            for step in plan.resolution_steps
            if step.action == "NET_GRIDLOCK" and step.dtc is not None
        }
        expected = tuple(sorted(netted.union(parties)))
        if parties != expected:
            yield mismatch(
                "gridlock.parties",
                "/gridlock_parties",
                expected,
                parties,
                because="every party netted with, once, sorted",
            )


def _step_makes_sense(step: Step, path: str) -> Iterator[Finding]:
    action = step.action
    if action in _IN_FIELDS:
        accepted = tuple(sorted(_RECEIPTS | _STOCK | _NOTICES))
        yield mismatch(
            "waterfall.action",
            f"{path}/action",
            accepted,
            action,
            because="the plan has its own fields for this action",
        )
        return
    if (step.qty == 0) != (action in _NOTICES):
        expected = 0 if action in _NOTICES else "more than 0"
        because = "a notice covers nothing" if action in _NOTICES else "a step covers something"
        yield mismatch("waterfall.quantity", f"{path}/qty", expected, step.qty, because=because)
    if action in _STOCK and step.dtc is not None:
        yield mismatch(
            "waterfall.counterparty",
            f"{path}/dtc",
            None,
            step.dtc,
            because="stock has no counterparty",
        )
    elif action == "OFFSET_FTR" and step.dtc is None:
        yield mismatch(
            "waterfall.counterparty",
            f"{path}/dtc",
            "DTC-NNNN",
            None,
            because="it is netted with a counterparty",
        )
    settles = action in _RECEIPTS and step.dtc is not None
    for field, value in (
        ("settlement_type", step.settlement_type),
        ("settlement_date", step.settlement_date),
    ):
        if (value is not None) != settles:
            yield mismatch(
                "waterfall.settlement",
                f"{path}/{field}",
                "the value of the receipt" if settles else None,
                value,
            )
