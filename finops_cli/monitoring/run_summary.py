"""Counts of a run. The summaries of its batches are added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

NUMBERS = ("plans", "owed", "covered", "residual")
_new_counter = partial(Counter.__new__, Counter)
"""Makes an empty Counter. A record has twenty, and to call the class takes four times as long."""
COUNTERS = (
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
    "clock",
    "later",
    "no_margin",
    "warnings",
    "derived",
    "assumed",
    "shared",
    "labels",
    "flags",
)


@dataclass(slots=True)
class RunSummary:
    """Counts of lines, and of the shares in their plans."""

    statuses: Counter[str] = field(default_factory=_new_counter)
    tiers: Counter[str] = field(default_factory=_new_counter)
    categories: Counter[str] = field(default_factory=_new_counter)
    actions: Counter[str] = field(default_factory=_new_counter)
    violations: Counter[str] = field(default_factory=_new_counter)
    """Rules that first answers broke."""
    models: Counter[str] = field(default_factory=_new_counter)
    """Answers by stage: `asked` of models, `right` at the first attempt, `again` at a later one."""
    server: Counter[str] = field(default_factory=_new_counter)
    """Failures of servers after which a later attempt succeeded."""
    problems: Counter[str] = field(default_factory=_new_counter)
    latency: Counter[int] = field(default_factory=_new_counter)
    """Lines that were timed, by step of their latency (`monitoring.latencies`)."""
    masked: Counter[str] = field(default_factory=_new_counter)
    """Lines by the kinds of personal data that were masked in their records."""
    plans: int = 0
    owed: int = 0
    covered: int = 0
    residual: int = 0
    uncovered: Counter[str] = field(default_factory=_new_counter)
    """Residual shares by priority tier, for lines with a triage."""

    clock: Counter[str] = field(default_factory=_new_counter)
    """Lines by what the law's clock says: `breached shown`, `breached if sold short`, `due today`,
    `running`, `nothing due`, or the reason why the line has no clock.
    """
    later: Counter[int] = field(default_factory=_new_counter)
    """Lines by the settlement days that the card's deadline is later than the law's."""
    no_margin: Counter[str] = field(default_factory=_new_counter)
    """Lines with a clock that cannot compare the two deadlines, by reason."""

    warnings: Counter[str] = field(default_factory=_new_counter)
    """Contradictions in the records, by rule."""
    derived: Counter[str] = field(default_factory=_new_counter)
    """Lines by the facts that were derived from others."""
    assumed: Counter[str] = field(default_factory=_new_counter)
    """Lines by the facts that were assumed."""

    shared: Counter[str] = field(default_factory=_new_counter)
    """`fails` that use sources which earlier lines promised, their `securities`, and the `shares`
    that are promised twice.
    """

    labels: Counter[str] = field(default_factory=_new_counter)
    """Lines by the sentiment of their texts."""
    flags: Counter[str] = field(default_factory=_new_counter)
    """Lines by the flags of their sentiment."""

    dropped: Counter[str] = field(default_factory=_new_counter)
    """Marks before the objects of the input that were dropped, by kind; only of a whole run."""
    blank: int = 0
    """Input lines that hold nothing; only of a whole run."""

    def add(self, other: RunSummary, sign: int = 1) -> None:
        """Add the counts of `other`, or subtract them (`sign` -1)."""
        for name in COUNTERS:
            mine: Counter[Any] = getattr(self, name)
            for key, count in getattr(other, name).items():
                mine[key] += sign * count
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))

    def add_whole(self, other: RunSummary) -> None:
        """Add the counts of a whole run, and what only such a summary has."""
        self.add(other)
        self.dropped += other.dropped
        self.blank += other.blank

    @property
    def lines(self) -> int:
        """Return the number of lines."""
        return self.statuses.total()

    @property
    def records(self) -> int:
        """Return the number of lines that hold something."""
        return self.lines - self.blank

    @property
    def all_verified(self) -> bool:
        """Return true if the status of every line is `ok`, which gives exit code 0."""
        return self.statuses["ok"] == self.lines
