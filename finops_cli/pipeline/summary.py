"""Count the output lines of a run."""

from __future__ import annotations

from msgspec import UNSET, Struct

from finops_cli.domain.clock import Clock, find_breaches
from finops_cli.domain.finding import Finding
from finops_cli.domain.sentiment import Tone
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.clock import NO_AS_OF
from finops_cli.pipeline.output import Line


def count_line(summary: RunSummary, line: Line, owed: int, is_model: bool) -> None:
    """Count one output line; `owed` is the shares that its input owes.

    `is_model`: language models answered it.
    """
    status, latency_ms = line.status, line.provenance.latency_ms
    summary.statuses[status] += 1
    if latency_ms is not None and status != "rejected":
        summary.latency[step_of(latency_ms)] += 1
    tier = ""
    triage = line.triage
    if triage is not UNSET and triage is not None:
        tier = triage.priority_tier
        summary.tiers[tier] += 1
        summary.categories[triage.category] += 1
        summary.actions[triage.action] += 1
    plan = line.resolution
    if plan is not UNSET and plan is not None:
        summary.plans += 1
        summary.owed += owed
        summary.covered += owed - plan.residual_short
        summary.residual += plan.residual_short
        if plan.residual_short:
            summary.uncovered[tier or "unknown"] += plan.residual_short
    if line.clock is not UNSET and line.clock is not None:
        _count_clock(summary, line.clock)
    elif line.clock_skipped is not UNSET:
        summary.clock[_NO_CLOCK if line.clock_skipped == NO_AS_OF else _REFUSED] += 1
    if line.warnings:
        summary.warnings.update(finding.rule for finding in line.warnings)
    _count_sides(summary, line)
    if is_model:
        _count_models(summary, line)
    if status == "ok":
        return
    if not is_model:
        summary.violations.update(
            finding.rule for findings in _findings(line).values() for finding in findings
        )
    if line.error is not UNSET:
        summary.problems.update(problem.rule for problem in line.error.problems)


def _count_sides(summary: RunSummary, line: Line) -> None:
    """Count the additions to answers: the origin of facts, the tone, and masked kinds."""
    if line.origin is not UNSET:
        summary.derived.update(line.origin.derived)
        summary.assumed.update(line.origin.assumed)
    if line.tone is not UNSET and line.tone is not None:
        _count_tone(summary, line.tone)
    if line.provenance.masked:
        summary.masked.update(line.provenance.masked)


def _count_tone(summary: RunSummary, tone: Tone) -> None:
    """Count the label of the notes, and its flags."""
    if tone.sentiment is not None:
        summary.labels[tone.sentiment.label] += 1
    summary.flags.update(tone.flags)


_NO_CLOCK = "no as_of"
_REFUSED = "facts refused"
_STATES = {"due_today": "due today", "running": "running"}


def _count_clock(summary: RunSummary, clock: Clock) -> None:
    """Count what is due, and how much later the card's deadline is."""
    breaches = find_breaches(clock)
    if breaches:
        shown = any("sale_type" not in each.assumed for each in breaches)
        summary.clock["breached shown" if shown else "breached if sold short"] += 1
    else:
        states = [each.state for each in clock.obligations if each.kind == "duty"]
        state = next((_STATES[each] for each in states if each in _STATES), "nothing due")
        summary.clock[state] += 1
    later = clock.card.later_than_law_by
    if later is not None:
        summary.later[later] += 1
    elif clock.card.deadline is None:
        summary.no_margin["no card deadline"] += 1
    else:
        summary.no_margin["no binding duty"] += 1


def _count_models(summary: RunSummary, line: Line) -> None:
    """Count the stages that language models answered, and how good their answers were."""
    attempt_errors = line.provenance.attempt_errors or ()
    for stage, findings in _findings(line).items():
        mine = [attempt for attempt in attempt_errors if attempt.stage == stage]
        answered = isinstance(getattr(line, ANSWER_FIELDS[stage]), Struct)
        if not answered and not findings:
            continue
        summary.models[f"{stage} asked"] += 1
        broken = [attempt for attempt in mine if attempt.rules]
        if not broken:
            summary.models[f"{stage} right"] += 1
        elif not findings:
            summary.models[f"{stage} again"] += 1
        summary.violations.update(
            rule for attempt in broken if attempt.attempt == 1 for rule in attempt.rules
        )
        summary.server.update(rule for attempt in mine for rule in attempt.server)


def _findings(line: Line) -> dict[str, list[Finding]]:
    """Return the findings by model stage.

    A stage that the command does not run is left out.
    """
    findings = {stage: getattr(line.verification, field) for stage, field in ANSWER_FIELDS.items()}
    return {stage: found for stage, found in findings.items() if isinstance(found, list)}
