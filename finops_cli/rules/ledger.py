"""The running account of a plan: what is covered, what remains, and the steps so far."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from finops_cli.domain.enums import SettlementType, StepAction
from finops_cli.domain.resolution import Step


def coverage_pct(covered: int, owed: int, decimals: int) -> Decimal:
    """The covered part of the shares owed, in percent, rounded half-up. kb: `plan.coverage`."""
    scale: int = 10**decimals
    return scale_down((covered * 200 * scale + owed) // (2 * owed), decimals)


@lru_cache(maxsize=2048)
def scale_down(units: int, decimals: int) -> Decimal:
    """Return `units` of the last of `decimals` places: 125 with one place is 12.5."""
    return Decimal(units).scaleb(-decimals)


class Ledger:
    """Steps are added in order; each says how many shares it covers."""

    __slots__ = ("_decimals", "_owed", "remaining", "steps")

    def __init__(self, owed: int, decimals: int) -> None:
        self._owed = owed
        self._decimals = decimals
        self.remaining = owed
        self.steps: list[Step] = []

    @property
    def covered(self) -> int:
        return self._owed - self.remaining

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
        self.steps.append(
            Step(
                step=len(self.steps) + 1,
                action=action,
                dtc=dtc,
                qty=qty,
                settlement_type=settlement_type,
                settlement_date=settlement_date,
                rationale=rationale,
                coverage_after_step_pct=coverage_pct(owed - remaining, owed, self._decimals),
                remaining_short=remaining,
            )
        )
