"""Counts of a run. The summaries of its batches add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_COUNTERS = (
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
)


@dataclass(slots=True)
class RunSummary:
    """Counts of lines, and shares of the plans among them.

    `violations` counts the rules that first answers broke. `models` counts, by stage, the answers
    that models were `asked` for, had `right` at the first attempt, or `again` at a later one.
    `server` counts the failures of servers after which a later attempt succeeded.
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
    """Lines that were timed, by step of their latency (`monitoring.latencies`)."""
    masked: Counter[str] = field(default_factory=Counter)
    """Lines by the kinds of personal data that were masked in their records."""
    plans: int = 0
    owed: int = 0
    covered: int = 0
    residual: int = 0
    uncovered: Counter[str] = field(default_factory=Counter)
    """Residual shares by priority tier, where the line carries a triage."""

    def add(self, other: RunSummary, sign: int = 1) -> None:
        """Add the counts of `other`, or take them away (`sign` -1)."""
        for name in _COUNTERS:
            mine: Counter[Any] = getattr(self, name)
            for key, count in getattr(other, name).items():
                mine[key] += sign * count
        for name in ("plans", "owed", "covered", "residual"):
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))

    @property
    def lines(self) -> int:
        """Return the number of lines."""
        return self.statuses.total()

    @property
    def all_verified(self) -> bool:
        """Return true when the status of every line is `ok`: exit code 0."""
        return self.statuses["ok"] == self.lines
