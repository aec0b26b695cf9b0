"""The settings of evaluation, drift and monitoring (kb: `evaluate.*`, `drift.*`, `monitor.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.stage_names import STAGE_NAMES
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler


class EvaluationSettings(Struct, frozen=True, eq=False, kw_only=True):
    """Sizes, intervals and thresholds; proportions in percent, divergence in nats."""

    rows: Mapping[str, int]
    confidence_z: Decimal
    score_within: Decimal
    min_group_records: int
    significance: Decimal
    acceptance: Mapping[str, Decimal]
    baselines: Mapping[str, int]
    drift_threshold: Decimal
    drift_smoothing: Decimal
    drift_window: int
    health: Mapping[str, Decimal]
    health_limits: Mapping[str, Decimal]


def compile_evaluation(c: Compiler) -> EvaluationSettings:
    settings = EvaluationSettings(
        rows=c.wholes(
            "evaluate.rows",
            (*STAGE_NAMES, "baseline_train", "timed"),
            highest=10_000_000,
        ),
        confidence_z=c.number("evaluate.confidence_z", highest=10),
        score_within=c.number("evaluate.score_within"),
        min_group_records=c.whole("evaluate.min_group_records"),
        significance=c.number("evaluate.significance", highest=1),
        acceptance=c.numbers("evaluate.acceptance", ("missed_pct", "stands_pct"), highest=100),
        baselines=c.wholes(
            "evaluate.baselines",
            ("ngrams", "features", "trees", "leaf", "iterations", "seed"),
            highest=2**31,
        ),
        drift_threshold=c.number("drift.threshold"),
        drift_smoothing=c.number("drift.smoothing"),
        drift_window=c.whole("drift.window"),
        health=c.numbers(
            "monitor.health", ("errors", "replaced", "latency", "throughput"), highest=100
        ),
        health_limits=c.numbers(
            "monitor.limits",
            (
                "errors_pct",
                "replaced_pct",
                "latency_from_ratio",
                "latency_to_ratio",
                "throughput_pct",
                "seconds",
                "write_seconds",
            ),
        ),
    )
    limits = settings.health_limits
    if not settings.drift_smoothing:
        raise KnowledgeError(
            "kb entry drift.smoothing: must be above 0, or a value that is new makes the divergence"
            " infinite"
        )
    if limits["latency_to_ratio"] <= limits["latency_from_ratio"] or not all(limits.values()):
        raise KnowledgeError(
            "kb entry monitor.limits: all above 0, and latency_to_ratio above latency_from_ratio"
        )
    if min(settings.rows.values()) < 1 or min(settings.baselines.values()) < 1:
        raise KnowledgeError("kb entries evaluate.rows, evaluate.baselines: must be at least 1")
    return settings
