"""The closing summary of a run, counted as lines go by. Tallies of parts add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from finops_cli.domain.finding import Finding
from finops_cli.pipeline.latencies import step_of
from finops_cli.pipeline.lines import Line


@dataclass(slots=True)
class Tally:
    """Counts of lines, and shares of the plans among them.

    `violations` are those of answers as they first came. `models` counts, by stage, what language
    models were `asked`, had `right` as it came, and had right when asked `again`; `server` counts
    the failures of servers that were overcome.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    server: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    """Lines that were timed, by step of their latency (`pipeline.latencies`)."""
    masked: Counter[str] = field(default_factory=Counter)
    """Lines by the kinds of personal data that were masked in their records."""
    plans: int = 0
    owed: int = 0
    covered: int = 0
    residual: int = 0
    uncovered: Counter[str] = field(default_factory=Counter)
    """Residual shares by priority tier, where the line carries a triage."""

    def add(self, other: Tally, sign: int = 1) -> None:
        """Add the counts of `other`, or take them away (`sign` -1)."""
        for name in _COUNTERS:
            mine: Counter[Any] = getattr(self, name)
            for key, count in getattr(other, name).items():
                mine[key] += sign * count
        for name in ("plans", "owed", "covered", "residual"):
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))

    @property
    def lines(self) -> int:
        """How many lines were counted."""
        return self.statuses.total()

    @property
    def all_verified(self) -> bool:
        """Whether every line passed as it came; what exit code 0 says."""
        return self.statuses["ok"] == self.lines

    def count(self, line: Line, owed: int) -> None:
        """Count one output line; `owed` is the shares that its input owes."""
        self.statuses[line.status] += 1
        if line.provenance.latency_ms is not None and line.status != "rejected":
            self.latency[step_of(line.provenance.latency_ms)] += 1
        tier = ""
        triage = line.triage
        if isinstance(triage, Struct):
            tier = triage.priority_tier
            self.tiers[tier] += 1
            self.categories[triage.category] += 1
            self.actions[triage.action] += 1
        plan = line.resolution
        if isinstance(plan, Struct):
            self.plans += 1
            self.owed += owed
            self.covered += owed - plan.residual_short
            self.residual += plan.residual_short
            if plan.residual_short:
                self.uncovered[tier or "unknown"] += plan.residual_short
        if line.provenance.masked:
            self.masked.update(line.provenance.masked)
        if isinstance(line.provenance.digests, Struct):
            self._count_models(line)
        if line.status == "ok":
            return
        if not isinstance(line.provenance.digests, Struct):
            self.violations.update(
                finding.rule for findings in _findings(line).values() for finding in findings
            )
        if isinstance(line.error, Struct):
            self.problems.update(problem.rule for problem in line.error.problems)

    def _count_models(self, line: Line) -> None:
        """A line that language models answered: which stages were asked, and how their answers
        came.
        """
        trouble = line.provenance.trouble or ()
        for stage, findings in _findings(line).items():
            mine = [attempt for attempt in trouble if attempt.stage == stage]
            answered = isinstance(line.triage if stage == "triage" else line.resolution, Struct)
            if not answered and not findings:
                continue
            self.models[f"{stage} asked"] += 1
            broken = [attempt for attempt in mine if attempt.rules]
            if not broken:
                self.models[f"{stage} right"] += 1
            elif not findings:
                self.models[f"{stage} again"] += 1
            self.violations.update(
                rule for attempt in broken if attempt.attempt == 1 for rule in attempt.rules
            )
            self.server.update(rule for attempt in mine for rule in attempt.server)


_COUNTERS = (
    *(
        "statuses",
        "tiers",
        "categories",
        "actions",
        "violations",
        "models",
        "server",
        "problems",
        "latency",
        "masked",
        "uncovered",
    ),
)


def _findings(line: Line) -> dict[str, list[Finding]]:
    """By the stage that a model has; stages that the command does not have are left out."""
    told = {"triage": line.verification.triage, "resolver": line.verification.resolution}
    return {stage: findings for stage, findings in told.items() if isinstance(findings, list)}
