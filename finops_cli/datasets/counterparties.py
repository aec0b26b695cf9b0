"""Draw counterparties: a few high-volume participants, and many rare ones (kb:
`data.participants`).
"""

from __future__ import annotations

from functools import lru_cache

from finops_cli.datasets.sampling import rng
from finops_cli.kb.chapters.training_data import DatasetSettings


@lru_cache(maxsize=4)
def high_volume(seed: int, settings: DatasetSettings) -> tuple[str, ...]:
    """Return the DTC numbers that take many assignments, the same for the whole dataset."""
    rules = settings.participants
    numbers = rng(seed, "high volume", 0).sample(
        range(1, rules["highest_number"] + 1), rules["high_volume"]
    )
    return tuple(f"DTC-{number:04d}" for number in sorted(numbers))


def counterparty(index: int, seed: int, settings: DatasetSettings) -> str:
    """Return the counterparty of example `index`."""
    block, place = divmod(index, settings.participants["per_examples"])
    return _assignments(seed, block, settings)[place]


@lru_cache(maxsize=4)
def _assignments(seed: int, block: int, settings: DatasetSettings) -> list[str]:
    """Make one block of assignments.

    Every rare participant gets as many as it may have; the high-volume ones get the rest.
    """
    rules, frequent = settings.participants, high_volume(seed, settings)
    numbers = (f"DTC-{number:04d}" for number in range(1, rules["highest_number"] + 1))
    others = [dtc for dtc in numbers if dtc not in frequent] * rules["uses_each"]
    draw = rng(seed, "participants", block)
    draw.shuffle(others)
    others = others[: rules["per_examples"]]
    assigned = others + draw.choices(frequent, k=rules["per_examples"] - len(others))
    draw.shuffle(assigned)
    return assigned
