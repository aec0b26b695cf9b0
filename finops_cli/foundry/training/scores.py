"""What an examination counts."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.foundry.rows import Stage

DECIDES: dict[Stage, str] = {"triage": "tier", "resolver": "steps", "sentiment": "label"}
"""What `Scores.decided` counts: the same tier; the same actions with the same quantities in the same order; the same label."""


class Scores(Struct, frozen=True):
    """Of `asked` answers: readable and of the right shape, without any finding, with the decision that the rules take."""

    asked: int
    valid: int
    exact: int
    decided: int

    def rank(self, loss: float) -> float:
        """Exact counts before decided, decided before valid; a lower loss decides between equals."""
        places = self.asked + 1
        return (self.exact * places + self.decided) * places + self.valid + 1 / (1 + loss)
