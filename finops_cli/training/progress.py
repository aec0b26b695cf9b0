"""The progress of a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """Steps done, steps in all, and the newest metrics by name."""

    done: int
    total: int
    metrics: dict[str, float]


Watch = Callable[[Progress], None]
