"""A batch while it is put together: tokens, each at a position of a sequence, and of which of them
logits are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Batch:
    """Columns of equal length. `wanted`: 1 where logits come of the token."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    rows: int = 0
    """How many logits are wanted so far."""

    def add(self, sequence: int, position: int, tokens: Sequence[int], wanted: int = 0) -> None:
        """`tokens` of `sequence`, the first at `position`; logits of the last `wanted` of them."""
        count = len(tokens)
        self.tokens += tokens
        self.positions += range(position, position + count)
        self.sequences += [sequence] * count
        self.wanted += [0] * (count - wanted) + [1] * wanted
        self.rows += wanted
