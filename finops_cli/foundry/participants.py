"""Who the counterparty is: a few high-volume participants, and many that are seldom seen (kb:
`data.participants`).
"""

from __future__ import annotations

from functools import lru_cache

from finops_cli.foundry.draws import rng
from finops_cli.kb.book import DataBook


@lru_cache(maxsize=4)
def high_volume(seed: int, book: DataBook) -> tuple[str, ...]:
    """The DTC numbers that take many assignments, the same for a whole data set."""
    rules = book.participants
    numbers = rng(seed, "high volume", 0).sample(
        range(1, rules["highest_number"] + 1), rules["high_volume"]
    )
    return tuple(f"DTC-{number:04d}" for number in sorted(numbers))


def counterparty(index: int, seed: int, book: DataBook) -> str:
    """The counterparty of example `index`."""
    block, place = divmod(index, book.participants["per_examples"])
    return _assignments(seed, block, book)[place]


@lru_cache(maxsize=4)
def _assignments(seed: int, block: int, book: DataBook) -> list[str]:
    """One block of assignments: every other participant as often as it may be, the high-volume ones
    for all the rest.
    """
    rules, frequent = book.participants, high_volume(seed, book)
    numbers = (f"DTC-{number:04d}" for number in range(1, rules["highest_number"] + 1))
    others = [dtc for dtc in numbers if dtc not in frequent] * rules["uses_each"]
    draw = rng(seed, "participants", block)
    draw.shuffle(others)
    others = others[: rules["per_examples"]]
    assigned = others + draw.choices(frequent, k=rules["per_examples"] - len(others))
    draw.shuffle(assigned)
    return assigned
