"""Latencies of any number of records in little memory, counted in steps of two percent.

The counts of the batches of a run are added up.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache

_STEP = math.log(1.02)
"""The size of a step. Percentiles are exact to within 1 %."""


@lru_cache(maxsize=4096)
def step_of(latency_ms: float) -> int:
    """Return the step of a latency. All latencies below a microsecond share one step.

    Records take few different times to the microsecond.
    """
    return round(math.log(max(latency_ms, 0.001)) / _STEP)


def percentile_ms(steps: Counter[int], percent: int) -> float | None:
    """Return the latency that `percent` % of the records do not exceed; None without records."""
    due = -(-percent * steps.total() // 100)
    if not due:
        return None
    passed = 0
    for step in sorted(steps):
        passed += steps[step]
        if passed >= due:
            return round(math.exp(step * _STEP), 3)
    raise AssertionError
