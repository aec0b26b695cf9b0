"""The progress of a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """The number of finished steps, the number of all steps, and the newest metrics by name."""

    done: int
    total: int
    metrics: dict[str, float]


Watch = Callable[[Progress], None]
