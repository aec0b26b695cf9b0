"""Latencies of any number of records in little memory, counted in steps of two percent.

Counts of parts of a run add up.
"""

from __future__ import annotations

import math
from collections import Counter

_STEP = math.log(1.02)
"""A percentile is told to within 1 %."""


def step_of(latency_ms: float) -> int:
    """The step that a latency falls into; below a microsecond all are one."""
    return round(math.log(max(latency_ms, 0.001)) / _STEP)


def percentile_ms(steps: Counter[int], percent: int) -> float | None:
    """The latency that `percent` percent of the records do not exceed; None for no record."""
    due = -(-percent * steps.total() // 100)
    if not due:
        return None
    passed = 0
    for step in sorted(steps):
        passed += steps[step]
        if passed >= due:
            return round(math.exp(step * _STEP), 3)
    raise AssertionError
