"""Measure what the pipeline costs: CPU of `finops run` against only reading and writing the same
lines with orjson, and its memory.

    python -m benchmarks.pipeline [ROUNDS]

All sides run as processes of their own, one after the other, in one go of this script; CPU is user
+ system, start-up and workers included. The modules are compiled before, as those of an
installation are, also where PYTHONDONTWRITEBYTECODE is set. Two yardsticks: `input`, each input
line parsed and printed again; `lines`, each input line parsed and an output line printed for it
(the first thousand answers, in turn). Each round runs all of them, one right after the other. The
median of the ratios of the rounds counts, and the least time: a busy machine adds time that the
program did not use.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from operator import truediv
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.blotters import write_blotter

INPUT = """
import sys, orjson
with open(sys.argv[1], "rb") as source, open(sys.argv[3], "wb") as output:
    for line in source:
        output.write(orjson.dumps(orjson.loads(line)) + b"\\n")
"""
LINES = """
import sys, orjson
with open(sys.argv[2], "rb") as answers:
    parsed = [orjson.loads(next(answers)) for _ in range(1000)]
with open(sys.argv[1], "rb") as source, open(sys.argv[3], "wb") as output:
    for number, line in enumerate(source):
        orjson.loads(line)
        output.write(orjson.dumps(parsed[number % 1000]) + b"\\n")
"""
SEED = 20261120
SIZES = (20_000, 100_000)


def cpu_and_peak(
    arguments: list[str], environment: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """CPU seconds and peak resident MiB of one process from start to exit."""
    process = os.posix_spawn(arguments[0], arguments, environment or os.environ)
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"{arguments} ended with status {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def keep_compiled(folder: Path) -> dict[str, str]:
    """Return an environment whose programs keep their compiled modules in `folder`."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def measure(records: int, rounds: int, folder: Path) -> float:
    """Print what `records` cost; returns the peak of memory in MiB."""
    fails, output, copy = (
        str(folder / name) for name in ("fails.jsonl", "out.jsonl", "copy.jsonl")
    )
    write_blotter(Path(fails), records, SEED)
    finops = [sys.executable, "-m", "finops_cli", "run", fails, "-o", output, "--quiet"]
    finops += ["--overwrite", "--backend", "engine"]
    programs = {"input": INPUT, "lines": LINES}
    cpu: dict[str, list[float]] = {name: [] for name in ("finops", "workers", *programs)}
    wall: dict[str, list[float]] = {"finops": [], "workers": []}
    peaks = []
    environment = keep_compiled(folder)
    cpu_and_peak([*finops, "--workers", "1"], environment)
    for _ in range(rounds):
        for name, workers in (("workers", "2"), ("finops", "1")):
            started = perf_counter()
            used, peak = cpu_and_peak([*finops, "--workers", workers], environment)
            cpu[name].append(used)
            wall[name].append(perf_counter() - started)
        peaks.append(peak)
        for name, program in programs.items():
            yardstick = [sys.executable, "-c", program, fails, output, copy]
            cpu[name].append(cpu_and_peak(yardstick, environment)[0])
    least = min(cpu["finops"])
    ratio = {name: median(map(truediv, cpu["finops"], cpu[name])) for name in programs}
    size = (
        f"{Path(fails).stat().st_size / records:.0f} bytes in,"
        f" {Path(output).stat().st_size / records:.0f} out"
    )
    print(f"{records:,} records ({size}), {rounds} rounds")
    print(
        f"  finops        {least:.2f} s CPU, {least / records * 1e6:.1f} us a record,"
        f" peak {max(peaks):.1f} MiB"
    )
    print(f"  to `lines`    {ratio['lines']:.2f} times")
    print(f"  to `input`    {ratio['input']:.2f} times")
    faster = median(map(truediv, wall["finops"], wall["workers"]))
    more = median(map(truediv, cpu["workers"], cpu["finops"]))
    print(f"  --workers 2   {more:.2f} times the CPU, {faster:.2f} times as fast")
    return max(peaks)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, large = (measure(records, rounds, Path(folder)) for records in SIZES)
        print(
            f"memory from {SIZES[0]:,} to {SIZES[1]:,} records: {small:.1f} to {large:.1f} MiB"
            f" ({large / small:.2f} times)"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
