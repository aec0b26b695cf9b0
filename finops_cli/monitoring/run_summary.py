"""What a run came to, in counts. Summaries of parts of a run add up."""

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
        """How many lines were counted."""
        return self.statuses.total()

    @property
    def all_verified(self) -> bool:
        """Whether every line passed as it came; what exit code 0 says."""
        return self.statuses["ok"] == self.lines
