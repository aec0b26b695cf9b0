"""Measure the generator: rows a second on two workers, and memory at 2,000 and at 10,000 rows.

python -m benchmarks.datasets
"""

from __future__ import annotations

import os
import sys
import tempfile
import time


def main() -> None:
    for stage in ("triage", "resolver", "sentiment"):
        for rows in (2_000, 10_000):
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    sys.executable,
                    "-m",
                    "finops_cli",
                    "generate",
                    "--stage",
                    stage,
                    "-n",
                    str(rows),
                    "-o",
                    folder,
                    "-q",
                ]
                began = time.perf_counter()
                process = os.posix_spawn(command[0], command, os.environ)
                _, status, used = os.wait4(process, 0)
                took = time.perf_counter() - began
                if os.waitstatus_to_exitcode(status):
                    raise SystemExit(f"{command} ended with status {status}")
                print(
                    f"{stage:<9} {rows:>6,} rows: {took:5.1f} s, {rows / took:7,.0f} a second, peak"
                    f" {used.ru_maxrss / 1024:.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
