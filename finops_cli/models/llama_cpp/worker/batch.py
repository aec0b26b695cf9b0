"""A batch: tokens at positions of sequences, some of which give logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Batch:
    """Columns of equal length; `outputs` is 1 for a token that gives logits."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    rows: int = 0
    """Number of tokens that give logits."""

    def add(self, sequence: int, position: int, tokens: Sequence[int], outputs: int = 0) -> None:
        """Add `tokens` to `sequence` from `position` on. The last `outputs` of them give logits."""
        count = len(tokens)
        self.tokens += tokens
        self.positions += range(position, position + count)
        self.sequences += [sequence] * count
        self.outputs += [0] * (count - outputs) + [1] * outputs
        self.rows += outputs
