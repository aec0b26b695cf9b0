"""How models are measured, compared and watched (kb: `evaluate.*`, `drift.*`, `monitor.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, eq=False, slots=True)
class EvaluationBook:
    """Sizes, intervals and thresholds; shares in percent, divergence in nats."""

    rows: Mapping[str, int]
    z: Decimal
    score_within: Decimal
    stratum_from: int
    significance: Decimal
    worth: Mapping[str, Decimal]
    baselines: Mapping[str, int]
    drift_threshold: Decimal
    drift_smoothing: Decimal
    drift_window: int
    health: Mapping[str, Decimal]
    health_limits: Mapping[str, Decimal]
