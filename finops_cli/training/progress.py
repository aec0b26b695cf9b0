"""How far a training is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """Steps done and in all, and the newest figures by name."""

    done: int
    total: int
    figures: dict[str, float]


Watch = Callable[[Progress], None]
