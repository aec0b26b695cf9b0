"""Measure `finops list`: CPU as a ratio to reading the file, and peak memory.

    python -m benchmarks.listing [LINES] [ROUNDS]

The file is the examples repeated under other names. Reading it is decoding each line as JSON, in a
process of its own; CPU is user + system, start-up included. The least of the rounds counts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.pipeline import cpu_and_peak

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
_READ = """
import sys
from finops_cli.domain.exact_json import decode
with open(sys.argv[1], "rb") as file:
    for line in file:
        decode(line)
"""


def write_output(path: Path, lines: int) -> None:
    """Write an output of `lines` lines, each with a name of its own."""
    given = (EXAMPLES / "monday.expected.jsonl").read_bytes().splitlines(keepends=True)
    with path.open("wb") as file:
        for number in range(lines):
            name = b'"fail_id":"N-%08d-' % number
            file.write(given[number % len(given)].replace(b'"fail_id":"', name, 1))


def main(lines: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.jsonl"
        write_output(output, lines)
        listing = [sys.executable, "-m", "finops_cli", "list", str(output)]
        listing += ["--quiet", "--overwrite", "-o", str(Path(folder) / "list.txt")]
        commands = {
            "reading the file": [sys.executable, "-c", _READ, str(output)],
            "list, first 20": [*listing, "--limit", "20", "--format", "table"],
            "list, all lines as JSON": [*listing, "--format", "jsonl"],
            "list, all lines as a table": [*listing, "--format", "table"],
        }
        found = {
            name: [cpu_and_peak(command) for _ in range(rounds)]
            for name, command in commands.items()
        }
        print(f"{lines:,} lines, {output.stat().st_size / 1e6:,.0f} MB, least of {rounds}")
    base = min(cpu for cpu, _ in found["reading the file"])
    for name, measured in found.items():
        cpu, peak = min(measured)
        print(f"  {name:<28}{cpu:7.1f} s CPU  {cpu / base:5.1f} times  {peak:4.0f} MiB")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 200_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 1,
    )
