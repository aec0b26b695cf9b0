"""Count the output lines of a run."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.output import Line


def count_line(summary: RunSummary, line: Line, owed: int, is_model: bool) -> None:
    """Count one output line; `owed` is the shares that its input owes.

    `is_model`: language models answered it.
    """
    summary.statuses[line.status] += 1
    if line.provenance.latency_ms is not None and line.status != "rejected":
        summary.latency[step_of(line.provenance.latency_ms)] += 1
    tier = ""
    triage = line.triage
    if isinstance(triage, Struct):
        tier = triage.priority_tier
        summary.tiers[tier] += 1
        summary.categories[triage.category] += 1
        summary.actions[triage.action] += 1
    plan = line.resolution
    if isinstance(plan, Struct):
        summary.plans += 1
        summary.owed += owed
        summary.covered += owed - plan.residual_short
        summary.residual += plan.residual_short
        if plan.residual_short:
            summary.uncovered[tier or "unknown"] += plan.residual_short
    if line.provenance.masked:
        summary.masked.update(line.provenance.masked)
    if is_model:
        _count_models(summary, line)
    if line.status == "ok":
        return
    if not is_model:
        summary.violations.update(
            finding.rule for findings in _findings(line).values() for finding in findings
        )
    if isinstance(line.error, Struct):
        summary.problems.update(problem.rule for problem in line.error.problems)


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
