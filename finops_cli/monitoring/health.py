"""One health score from 0 to 100: 100 minus a penalty for each signal (kb: `monitor.health`)."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.kb.chapters.evaluation import EvaluationSettings


class Signals(NamedTuple):
    """The inputs of the health figure. A signal that was not measured has no penalty."""

    errors_pct: float = 0.0
    """Percent of the records, or of the requests, without an answer."""
    replaced_pct: float = 0.0
    """Percent of the records whose answer was repaired or replaced."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    lost_pct: float = 0.0
    """Percent of its usual throughput that the process has lost."""


def compute_penalties(signals: Signals, settings: EvaluationSettings) -> dict[str, float]:
    """Return the points that each signal subtracts. Source: kb `monitor.limits`."""
    limits = {name: float(value) for name, value in settings.health_limits.items()}
    p50, p95 = signals.p50_ms, signals.p95_ms
    spread = p95 / p50 if p50 and p95 else 0.0
    parts = {
        "errors": signals.errors_pct / limits["errors_pct"],
        "replaced": signals.replaced_pct / limits["replaced_pct"],
        "latency": (
            (spread - limits["latency_from_ratio"])
            / (limits["latency_to_ratio"] - limits["latency_from_ratio"])
        ),
        "throughput": signals.lost_pct / limits["throughput_pct"],
    }
    return {
        name: round(float(settings.health[name]) * min(1.0, max(0.0, part)), 1)
        for name, part in parts.items()
    }


def health_of(penalties: dict[str, float]) -> int:
    """Return 100 minus the penalties, at least 0."""
    return max(0, round(100 - sum(penalties.values())))
