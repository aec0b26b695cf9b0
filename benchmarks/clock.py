"""Measure what the close-out clock costs: CPU of `finops run` with and without --as-of.

    python -m benchmarks.clock [ROUNDS]

Both run as processes, in turns, on the same blotter; CPU is user + system, start-up included. The
least of the rounds counts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.blotters import write_blotter
from benchmarks.pipeline import SEED, cpu_and_peak

RECORDS = 20_000


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fails, output = Path(folder) / "fails.jsonl", Path(folder) / "out.jsonl"
        write_blotter(fails, RECORDS, SEED)
        command = [sys.executable, "-m", "finops_cli", "run", str(fails), "--quiet"]
        command += ["--backend", "engine", "-o", str(output), "--overwrite"]
        without, with_clock = [], []
        for _ in range(rounds):
            without.append(cpu_and_peak(command)[0])
            with_clock.append(cpu_and_peak([*command, "--as-of", "2026-11-30"])[0])
    print(f"{RECORDS:,} records, least of {rounds}")
    print(f"  without the clock {min(without):.2f} s CPU")
    print(f"  with the clock    {min(with_clock):.2f} s CPU")
    print(f"  ratio             {min(with_clock) / min(without):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
