"""Measure how the cost of hostile inputs grows with their size, and what a rejected line costs.

    python -m benchmarks.growth [WORDS OF A SHAPE]

Each shape of `benchmarks.growth_shapes` is read at sizes 1, 2, 4 and 8 in this process. The slope
is that of CPU time on size, both as logarithms: 1 is linear, 2 is the square. The first try counts
where its slope is clearly within the limit, else the median of several; a shape over the limit is
measured again, since another program that begins or ends between two sizes bends the slope too.
Each round times good lines and rejected ones one after the other, and the least ratio counts. A
slope that stays over `MOST_SLOPE`, or a rejected line over `MOST_RATIO` good ones, ends with 1.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from math import log2
from pathlib import Path
from statistics import linear_regression, median

from benchmarks.blotters import write_blotter
from benchmarks.growth_shapes import Shape, make_processor, shapes

SIZES = (1, 2, 4, 8)
TRIES = 3
REPEATS = 3
"""How often a shape may be measured until its slope is within the limit."""
MOST_SLOPE = 1.2
CLEAR_SLOPE = 1.1
"""One try with at most this slope is enough."""
MOST_RATIO = 5
"""A validator that is made again for each rejected line takes 8 to 13."""
SEED = 20261129
RECORDS = 1_000
ROUNDS = 5


def cpu(read: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, at least a microsecond."""
    gc.collect()
    gc.disable()  # when it runs depends on what ran before
    began = time.process_time()
    read()
    used = time.process_time() - began
    gc.enable()
    return max(used, 1e-6)


def measure(shape: Shape) -> tuple[float, float]:
    """Return the slope of a shape, and the seconds that its largest size takes."""
    inputs = [shape.make(size) for size in SIZES]
    sizes = [log2(size) for size in SIZES]
    slopes, largest = [], []
    for _ in range(TRIES):
        seconds = [cpu(lambda given=given: shape.read(given)) for given in inputs]  # type: ignore[misc]
        slopes.append(linear_regression(sizes, [log2(each) for each in seconds]).slope)
        largest.append(seconds[-1])
        if slopes[0] <= CLEAR_SLOPE:
            break
    return median(slopes), min(largest)


def least_slope(shape: Shape) -> tuple[float, float]:
    """Measure a shape until its slope is within the limit, `REPEATS` times at most."""
    for _ in range(REPEATS):
        slope, seconds = measure(shape)
        if slope <= MOST_SLOPE:
            break
    return slope, seconds


def rejected_lines() -> dict[str, float]:
    """Return what a line that is rejected costs, in good lines, by its fault."""
    process = make_processor("off")
    with tempfile.TemporaryDirectory() as folder:
        blotter = Path(folder) / "fails.jsonl"
        write_blotter(blotter, RECORDS, SEED)
        good = [json.loads(line) for line in blotter.read_bytes().splitlines()]
    faults = {
        "an unknown word": {"side": "X"},
        "an unknown field": {"quantty": 5},
        "values of other types": {"qty": "abc", "market_value": {}},
        "a wrong check digit": {"cusip": "594918105"},
        "all fields null": dict.fromkeys(set(good[0]) - {"fail_id"}),
    }
    lines = [json.dumps(record).encode() for record in good]
    return {
        name: _least_ratio(
            process, [json.dumps({**record, **changed}).encode() for record in good], lines
        )
        for name, changed in faults.items()
    }


def _least_ratio(
    process: Callable[[bytes], object], rejected: list[bytes], good: list[bytes]
) -> float:
    """Return what a rejected line costs, in good lines: the least of the rounds."""
    return min(
        cpu(lambda: [*map(process, rejected)]) / cpu(lambda: [*map(process, good)])
        for _ in range(ROUNDS)
    )


def main(words: str) -> int:
    """Print the table; return 1 where something is over its limit."""
    over = 0
    gc.freeze()  # the modules that are loaded by now are not a cost of an input
    print(f"{'shape':<62}{'slope':>6}{'seconds at 8':>14}")
    for shape in shapes():
        if words in shape.name:
            slope, seconds = least_slope(shape)
            over += slope > MOST_SLOPE
            mark = "  OVER" if slope > MOST_SLOPE else ""
            print(f"{shape.name:<62}{slope:>6.2f}{seconds:>14.3f}{mark}", flush=True)
    if not words:
        print(f"{'a rejected line':<62}{'good lines':>20}")
        for name, ratio in rejected_lines().items():
            is_over = ratio > MOST_RATIO
            over += is_over
            print(f"{name:<62}{ratio:>20.1f}{'  OVER' if is_over else ''}")
    if over:
        print(f"{over} over the limit: a slope of {MOST_SLOPE}, {MOST_RATIO} good lines")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
