"""What the desk costs: CPU of `finops run` against only reading and writing the same lines with orjson, and its memory.

    python benchmarks/desk.py [RECORDS] [ROUNDS]

Both sides run as processes of their own, one after the other, in one go of this script; CPU is user + system of the process,
start included. The yardstick is given two ways: input lines read and written, and input lines read and output lines written.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from blotters import write_blotter

YARDSTICK = """
import sys, orjson
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as output:
    for line in source:
        output.write(orjson.dumps(orjson.loads(line)) + b"\\n")
"""
BOTH = """
import sys, orjson
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "rb") as answers, open(sys.argv[3], "wb") as output:
    for line, answer in zip(source, answers):
        orjson.loads(line)
        output.write(orjson.dumps(orjson.loads(answer)) + b"\\n")
"""
SEED = 20261120


def cpu_and_peak(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and peak resident MiB of one process that runs to its end."""
    process = os.posix_spawn(arguments[0], arguments, os.environ)
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"{arguments} ended with status {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(records: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fails, output, copy = (str(Path(folder) / name) for name in ("fails.jsonl", "out.jsonl", "copy.jsonl"))
        write_blotter(Path(fails), records, SEED)
        finops = [sys.executable, "-m", "finops_cli", "run", fails, "-o", output, "--quiet"]
        ours, input_only, both, peaks = [], [], [], []
        for _ in range(rounds):
            cpu, peak = cpu_and_peak(finops)
            ours.append(cpu)
            peaks.append(peak)
            input_only.append(cpu_and_peak([sys.executable, "-c", YARDSTICK, fails, copy])[0])
            both.append(cpu_and_peak([sys.executable, "-c", BOTH, fails, output, copy])[0])
        cpu = statistics.median(ours)
        size = f"{Path(fails).stat().st_size / records:.0f} bytes in, {Path(output).stat().st_size / records:.0f} out"
        print(f"{records:,} records ({size}), median of {rounds}: finops {cpu:.2f} s CPU, {cpu / records * 1e6:.1f} us a record")
        print(f"  ratio to reading and writing the input lines  {cpu / statistics.median(input_only):.2f}")
        print(f"  ratio to reading input, rewriting output lines {cpu / statistics.median(both):.2f}")
        print(f"  peak memory {max(peaks):.1f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
