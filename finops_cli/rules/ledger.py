"""The running account of a plan: what is covered, what remains, and the steps so far."""

from __future__ import annotations

from decimal import Decimal

from finops_cli.domain.enums import SettlementType, StepAction
from finops_cli.domain.money import last_place
from finops_cli.domain.resolution import Step


def coverage_pct(covered: int, owed: int, decimals: int) -> Decimal:
    """The covered part of the shares owed, in percent, rounded half-up. kb: `plan.coverage`."""
    return _round_half_up(covered * 100 * 10**decimals, owed) * last_place(decimals)


def _round_half_up(number: int, divisor: int) -> int:
    return (2 * number + divisor) // (2 * divisor)


class Ledger:
    """Steps are added in order; each says how many shares it covers."""

    __slots__ = ("_owed", "_place", "_whole", "remaining", "steps")

    def __init__(self, owed: int, decimals: int) -> None:
        self._owed = owed
        self._whole = 100 * 10**decimals
        """100 percent, in units of the last place."""
        self._place = last_place(decimals)
        self.remaining = owed
        self.steps: list[Step] = []

    @property
    def covered(self) -> int:
        return self._owed - self.remaining

    def cap(self, available: int) -> int:
        """Return how many of `available` shares a step can cover: no more than remain."""
        if available > self.remaining:
            return self.remaining
        return available

    def take(
        self,
        action: StepAction,
        qty: int,
        rationale: str,
        dtc: str | None = None,
        settlement_type: SettlementType | None = None,
        settlement_date: str | None = None,
    ) -> None:
        """Add a step that covers `qty` shares (0 for a notice)."""
        owed = self._owed
        self.remaining = remaining = self.remaining - qty
        covered = (owed - remaining) * self._whole
        self.steps.append(
            Step(
                step=len(self.steps) + 1,
                action=action,
                dtc=dtc,
                qty=qty,
                settlement_type=settlement_type,
                settlement_date=settlement_date,
                rationale=rationale,
                coverage_after_step_pct=_round_half_up(covered, owed) * self._place,
                remaining_short=remaining,
            )
        )
