"""Judges a plan: against what its input gives, or, without an input, for whether it agrees with
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, Step
from finops_cli.kb.book import Book
from finops_cli.verify.judged import compare, differs
from finops_cli.verify.plan_arithmetic import own_findings

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
    answer: Resolution, book: Book, reference: Resolution | None = None, owed: int | None = None
) -> list[Finding]:
    """What is wrong with `answer`; nothing when it is good.

    `reference` is what the waterfall gives for the input (`rules.plan`) and `owed` the shares that
    the input owes. Where the steps are as many as the waterfall's, every field is held against it;
    where not, missing and superfluous steps are named and the plan is held against itself too.
    """
    if reference is None or answer is reference:
        return own_findings(answer, owed, book)
    found = [*_steps(answer, reference, book), *_fields(answer, reference, book)]
    if found and len(answer.resolution_steps) == len(reference.resolution_steps):
        return found
    paths = {finding.path for finding in found}
    return found + [
        finding for finding in own_findings(answer, owed, book) if finding.path not in paths
    ]


def _fields(answer: Resolution, reference: Resolution, book: Book) -> Iterator[Finding]:
    yield from compare(reference, answer, _PLAN_RULES, "", book.tolerance)
    if bool(answer.escalation_reason) != bool(reference.escalation_reason):
        yield differs(
            "plan.escalation",
            "/escalation_reason",
            reference.escalation_reason,
            answer.escalation_reason,
        )


def _steps(answer: Resolution, reference: Resolution, book: Book) -> Iterator[Finding]:
    got, wanted = answer.resolution_steps, reference.resolution_steps
    if len(got) == len(wanted):
        for i, (step, expected) in enumerate(zip(got, wanted, strict=True)):
            yield from compare(
                expected, step, _STEP_RULES, f"/resolution_steps/{i}", book.tolerance
            )
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
                    expected, got[i], _TAKEN_RULES, f"/resolution_steps/{i}", book.tolerance
                )
            continue
        for expected in wanted[wanted_from:wanted_to]:
            message = f"a step is missing here: {_told(expected)}"
            yield Finding(
                "waterfall.step_missing", f"/resolution_steps/{got_from}", expected, None, message
            )
        for i in range(got_from, got_to):
            message = f"the waterfall gives no such step here: {_told(got[i])}"
            yield Finding("waterfall.step_extra", f"/resolution_steps/{i}", None, got[i], message)


_TAKEN_RULES = {
    field: _STEP_RULES[field] for field in ("qty", "settlement_type", "settlement_date")
}


def _what(step: Step) -> tuple[str, str | None]:
    return (step.action, step.dtc)


def _told(step: Step) -> str:
    return f"{step.action}{' ' + step.dtc if step.dtc else ''} {step.qty:,} shares"
