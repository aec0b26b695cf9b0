"""Measure what a plan of the whole book costs: CPU against `finops run` on the same fails.

    python -m benchmarks.book [ROUNDS]

Each side runs as a process of its own, in turns; CPU is user + system, start-up included. The
yardstick is `finops run` on the same fails with a snapshot in each record. The least of the rounds
counts: a busy machine adds time that the program did not use.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks.books import make_book
from benchmarks.pipeline import cpu_and_peak
from finops_cli.book.allocation.groups import group_pool
from finops_cli.book.allocation.plan import plan_pool
from finops_cli.book.allocation.pool import TIERS, DrawingFail, Source, make_pool
from finops_cli.kb.load import bundled_kb_dir, load_kb

SEED = 20261129
FINOPS = (sys.executable, "-m", "finops_cli")


class Sides:
    """Commands that are measured in turns."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self._folder = folder
        self._rounds = rounds
        self._commands: dict[str, list[str]] = {}
        self._cpu: dict[str, float] = {}
        self._peak: dict[str, float] = {}

    def add(self, name: str, *arguments: object) -> None:
        """Add a command of finops."""
        output = self._folder / f"{name.replace(' ', '-')}.out"
        ending = ["-q", "--overwrite", "--no-timing", "-o", str(output)]
        self._commands[name] = [*FINOPS, *map(str, arguments), *ending]

    def measure(self, title: str, yardstick: str, targets: dict[str, float]) -> None:
        """Run every command, and print the ratios to the yardstick."""
        for _ in range(self._rounds):
            for name, command in self._commands.items():
                cpu, peak = cpu_and_peak(command)
                self._cpu[name] = min(cpu, self._cpu.get(name, cpu))
                self._peak[name] = max(peak, self._peak.get(name, peak))
        print(title)
        for name, cpu in self._cpu.items():
            ratio = cpu / self._cpu[yardstick]
            asked = f", asked {targets[name]}" if name in targets else ""
            print(f"  {name:<20} {cpu:6.2f} s CPU  {ratio:5.2f} x {yardstick}{asked}"
                  f"  peak {self._peak[name]:.1f} MiB")  # fmt: skip

    def memory(self, name: str, yardstick: str) -> float:
        """Return the KiB that a command takes beyond another one."""
        return (self._peak[name] - self._peak[yardstick]) * 1024


def lone(folder: Path, rounds: int) -> None:
    """Measure one fail a CUSIP: nothing is contended."""
    book = make_book(folder, 20_000, 20_000, SEED)
    sides = Sides(folder, rounds)
    sides.add("run", "run", book.alone)
    sides.add("book", "book", book.alone)
    sides.add("book with a file", "book", book.fails, "--inventory", book.inventory)
    sides.measure("one fail a CUSIP, 20,000 fails", "run", {"book": 1.5, "book with a file": 1.5})


def contended(folder: Path, rounds: int) -> None:
    """Measure 50,000 fails over 5,000 CUSIPs, and a change of one of them."""
    book = make_book(folder, 50_000, 5_000, SEED)
    given = ("book", book.fails, "--inventory", book.inventory)
    sides = Sides(folder, rounds)
    sides.add("run", "run", book.alone)
    sides.add("book", *given)
    sides.add("with certificate", *given, "--certificate", folder / "proof.jsonl")
    sides.measure("50,000 fails, 5,000 CUSIPs", "run", {"book": 3.5, "with certificate": 6})
    fails = 50_000
    print(f"  memory: {sides.memory('book', 'run') / fails:.2f} KiB a fail beyond run, asked 1.2")
    before, delta = folder / "before.jsonl", folder / "delta.jsonl"
    cpu_and_peak([*FINOPS, *map(str, given), "-q", "--no-timing", "-o", str(before)])
    with book.fails.open("rb") as file:
        cusip = orjson.loads(next(file))["cusip"]
    change = {"cusip": cusip, "kind": "BOX", "qty": 5}
    delta.write_bytes(orjson.dumps(change) + b"\n")
    again = (*given, "--sent", before, "--delta", delta)
    sides = Sides(folder, rounds)
    sides.add("full", *given, "--sent", before)
    sides.add("delta", *again)
    sides.measure("a change of one CUSIP of 5,000", "full", {"delta": 0.35})


def hot(folder: Path, rounds: int) -> None:
    """Measure one CUSIP with 5,000 fails and 2,000 receives."""
    book = make_book(folder, 5_000, 1, SEED, receives=2_000)
    sides = Sides(folder, rounds)
    sides.add("run", "run", book.alone)
    sides.add("book", "book", book.fails, "--inventory", book.inventory)
    sides.measure("one CUSIP, 5,000 fails, 2,000 receives", "run", {"book": 6})
    cpu, groups = plan_alone(5_000, 2_000, rounds)
    print(f"  the plan alone: {cpu:.3f} s CPU, asked 0.1; {groups}")


def plan_alone(fails: int, receives: int, rounds: int) -> tuple[float, str]:
    """Measure the plan of one CUSIP without reading and writing: CPU, and the size of the flow."""
    draw, kb = random.Random(SEED), load_kb(bundled_kb_dir())
    owed = [draw.randrange(100, 200_000) for _ in range(fails)]
    queue = [
        DrawingFail(
            f"F-{n:05d}", qty, draw.choice(TIERS), draw.randrange(-4, 13), draw.randrange(90)
        )
        for n, qty in enumerate(owed)
    ]
    total = sum(owed)
    sources = [
        Source("BOX", "", total // 5),
        Source("DEPOT", "London", total // 7, days=3),
        Source("RECALL", "R-1", total // 10, days=3),
        Source("BORROW", "L-1", total // 7),
        *(
            Source("FTR", f"R-{n}", total // 5 // receives, days=1, dtc=f"R-{n:05d}", order=n)
            for n in range(receives)
        ),
    ]
    pool = make_pool("594918104", queue, sources)
    plan_pool(pool, kb.book)  # imports the solver
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        plan_pool(pool, kb.book)
        spent.append(time.process_time() - before)
    groups = group_pool(pool)
    return min(spent), f"{len(groups.fails)} groups of fails, {len(groups.sources)} of sources"


def main(rounds: int, names: list[str]) -> None:
    for case in (lone, contended, hot):
        if not names or case.__name__ in names:
            with tempfile.TemporaryDirectory() as folder:
                case(Path(folder), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:])
