"""Measure how long the guard reads a note, and how its time grows with the length of a text.

    python -m benchmarks.guard [RUNS]

Three kinds of text are read: notes of a desk with personal data in them, prose without it, and
notes full of the desk's own numbers. The time is processor time in one thread, of the fastest run.
"""

from __future__ import annotations

import random
import sys
import time

from finops_cli.guard.detector import Guard, open_guard
from finops_cli.kb.load import bundled_kb_dir, load_kb
from tests.support import desk_notes

NOTES = 600
PROSE = (
    "Spoke to their desk, shares were recalled by the lender and the box is empty; chase again"
    " tomorrow before the cut-off at 10:40, then escalate to the manager."
)
NUMBERS = (
    "short 5,000 of 594918104 at 177.25, 4000 3000 2000 in the box, recall 1200 due 2026-11-20 per"
    " DTC-0161"
)


def seconds(guard: Guard, texts: list[str], runs: int) -> float:
    """Return the processor seconds of the fastest of `runs` readings of all `texts`."""
    taken = []
    for _ in range(runs):
        began = time.process_time()
        for text in texts:
            guard.mask(text)
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    runs = int(sys.argv[1]) if sys.argv[1:] else 3
    guard = open_guard(load_kb(bundled_kb_dir()).guard)
    draw = random.Random(5)
    notes = [desk_notes.note(draw).text for _ in range(NOTES)]
    guard.mask("; ".join(notes[:50]))
    for name, texts in (
        ("notes", notes),
        ("prose", [PROSE] * NOTES),
        ("numbers", [NUMBERS] * NOTES),
    ):
        print(f"{name}: {seconds(guard, texts, runs) / len(texts) * 1e6:.0f} us a text")
    short, long = ["; ".join(notes[:40])[:4000]], ["; ".join(notes)[:16000]]
    growth = seconds(guard, long, runs) / seconds(guard, short, runs)
    print(f"four times the text: {growth:.1f} times the time")


if __name__ == "__main__":
    main()
