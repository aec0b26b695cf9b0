"""The closing summary of a run, counted as lines go by. Tallies of parts add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from msgspec import Struct

from finops_cli.pipeline.lines import Line


@dataclass(slots=True)
class Tally:
    """Counts of lines, and shares of the plans among them."""

    statuses: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    plans: int = 0
    owed: int = 0
    covered: int = 0
    residual: int = 0
    uncovered: Counter[str] = field(default_factory=Counter)
    """Residual shares by priority tier, where the line carries a triage."""

    def add(self, other: Tally, sign: int = 1) -> None:
        """Add the counts of `other`, or take them away (`sign` -1)."""
        for name in ("statuses", "tiers", "actions", "violations", "problems", "uncovered"):
            mine: Counter[str] = getattr(self, name)
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
        tier = ""
        triage = line.triage
        if isinstance(triage, Struct):
            tier = triage.priority_tier
            self.tiers[tier] += 1
            self.actions[triage.action] += 1
        plan = line.resolution
        if isinstance(plan, Struct):
            self.plans += 1
            self.owed += owed
            self.covered += owed - plan.residual_short
            self.residual += plan.residual_short
            if plan.residual_short:
                self.uncovered[tier or "unknown"] += plan.residual_short
        if line.status == "ok":
            return
        for findings in (line.verification.triage, line.verification.resolution):
            if isinstance(findings, list):
                self.violations.update(finding.rule for finding in findings)
        if isinstance(line.error, Struct):
            self.problems.update(problem.rule for problem in line.error.problems)
