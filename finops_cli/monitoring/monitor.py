"""Watch a run: speed, latency, errors, predictions, and one health score (kb: `monitor.*`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from finops_cli.kb.chapters.evaluation import EvaluationSettings
from finops_cli.monitoring.health import Signals, compute_penalties, health_of
from finops_cli.monitoring.latencies import percentile_ms
from finops_cli.monitoring.run_summary import RunSummary

Clock = Callable[[], float]
"""A function that returns seconds since any fixed time."""


class Stats(Struct, frozen=True, kw_only=True):
    """The statistics that `--stats-json` writes.

    Rates are in records per second, latencies in milliseconds to within 1 %. A value is null if
    nothing was measured.
    """

    records: int
    seconds: float
    per_second: float | None
    recent_per_second: float | None
    latency_ms: dict[str, float | None]
    error_rate_pct: float
    statuses: dict[str, int]
    tiers: dict[str, int]
    categories: dict[str, int]
    actions: dict[str, int]
    labels: dict[str, int]
    """Sentiments of texts."""
    flags: dict[str, int]
    violations: dict[str, int]
    server: dict[str, int]
    health: int
    penalties: dict[str, float]
    """Points that each signal subtracts from a health of 100."""


class Monitor:
    """The running statistics of a run. Only `update` reads the clock."""

    def __init__(self, clock: Clock, settings: EvaluationSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._began = clock()
        self._first = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._summary = RunSummary()
        self._now = self._written = self._began

    def update(self, summary: RunSummary, end: int) -> None:
        """Record the summary so far, after a batch that ends `end` bytes into the input.

        If `end` is 0, the summary counts the lines that a resumed run found. These lines do not
        count for the speed.
        """
        self._now, self._summary = self._clock(), summary
        if not end:
            self._first, self._began = summary.lines, self._now
        self._marks.append((self._now, summary.lines))
        window = float(self._settings.health_limits["seconds"])
        while len(self._marks) > 1 and self._marks[1][0] <= self._now - window:
            self._marks.popleft()

    def is_due(self) -> bool:
        """Return true when it is time to write the statistics (kb: `monitor.limits`).

        The caller is expected to write them then.
        """
        if self._now - self._written < float(self._settings.health_limits["write_seconds"]):
            return False
        self._written = self._now
        return True

    def stats(self) -> Stats:
        """Return the statistics so far."""
        summary, seconds = self._summary, self._now - self._began
        per_second = _rate(summary.lines - self._first, seconds)
        recent = self._recent()
        latency = {
            f"p{percent}": percentile_ms(summary.latency, percent) for percent in (50, 95, 99)
        }
        errors = summary.statuses["failed"] + summary.statuses["rejected"]
        lost = 100 * (1 - recent / per_second) if recent is not None and per_second else 0.0
        signals = Signals(
            errors_pct=_pct(errors, summary.lines),
            replaced_pct=_pct(
                summary.statuses["repaired"] + summary.statuses["fallback"], summary.lines
            ),
            p50_ms=latency["p50"],
            p95_ms=latency["p95"],
            lost_pct=lost,
        )
        penalties = compute_penalties(signals, self._settings)
        return Stats(
            records=summary.lines,
            seconds=round(seconds, 3),
            per_second=per_second,
            recent_per_second=recent,
            latency_ms=latency,
            error_rate_pct=_pct(errors, summary.lines),
            statuses=dict(summary.statuses),
            tiers=dict(summary.tiers),
            categories=dict(summary.categories),
            actions=dict(summary.actions),
            labels=dict(summary.labels),
            flags=dict(summary.flags),
            violations=dict(summary.violations),
            server=dict(summary.server),
            health=health_of(penalties),
            penalties=penalties,
        )

    def _recent(self) -> float | None:
        """Return the speed over the last marks; None until they span half of the window."""
        if not self._marks:
            return None
        (then, before), (now, lines) = self._marks[0], self._marks[-1]
        if now - then < float(self._settings.health_limits["seconds"]) / 2:
            return None
        return _rate(lines - before, now - then)


def _rate(records: int, seconds: float) -> float | None:
    return round(records / seconds, 3) if seconds > 0 else None


def _pct(part: int, of: int) -> float:
    return round(100 * part / of, 2) if of else 0.0
