"""Measure what one record costs in the process, from its line to the line of its answer.

    python -m benchmarks.in_process [ROUNDS]

CPU of the rules without start-up, reading or writing: batches of 100 lines of one record of
examples/monday.jsonl, and of a seeded blotter, whose records have thousands of scores. The least
of the rounds counts. To compare two versions, run each in its own checkout, in turns.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import process_time

from benchmarks.blotters import write_blotter
from finops_cli.files.jsonl import Batch
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.pipeline.clock import ClockConfig
from finops_cli.pipeline.earlier_lines import EarlierLines
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import compare_with_earlier, process_batch
from finops_cli.pipeline.sequences import SEQUENCES, Command

ROOT = Path(__file__).resolve().parents[1]
SEED, RECORDS, LIST = 20261120, 3_000, 100
COMMANDS: tuple[Command, ...] = ("triage", "run")
MICROSECONDS = 1e6


def open_pipeline(command: Command, kb: KnowledgeBase) -> Pipeline:
    """Open the pipeline of a command with the rules, without times in its lines."""
    clock = ClockConfig().open(kb)
    return Pipeline(SEQUENCES[command], Engine(kb), kb, timed=False, clock=clock)


def cpu_us(pipeline: Pipeline, lines: list[bytes], rounds: int) -> float:
    """Return the CPU of one line in microseconds, in lists of 100."""
    times = []
    for _ in range(rounds):
        began = process_time()
        for first in range(0, len(lines), LIST):
            with EarlierLines() as earlier:
                batch = Batch(first + 1, list(lines[first : first + LIST]), 0)
                compare_with_earlier(process_batch(pipeline, batch), pipeline, earlier)
        times.append(process_time() - began)
    return min(times) / len(lines) * MICROSECONDS


def main(rounds: int) -> None:
    """Print the table."""
    kb = load_kb(bundled_kb_dir())
    record = (ROOT / "examples/monday.jsonl").read_bytes().splitlines()[0]
    one = [record.replace(b"F-1001", b"F-%d" % number) for number in range(10 * LIST)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fails.jsonl"
        write_blotter(path, RECORDS, SEED)
        blotter = path.read_bytes().splitlines()
    print("| records | triage | run |\n|---|---|---|")
    for name, lines in (("lists of one record", one), ("a blotter", blotter)):
        costs = [cpu_us(open_pipeline(command, kb), lines, rounds) for command in COMMANDS]
        print(f"| {name} | {costs[0]:.1f} us | {costs[1]:.1f} us |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
