"""An output line of a run as the letters read it, and the facts that only the record has."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.allotment import AllottedShares
from finops_cli.domain.clock import Right
from finops_cli.domain.enums import Status
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.headline import FailSummary


class _Triage(Struct, frozen=True):
    category: str
    cns_direction: str
    action: str


class PlanStep(Struct, frozen=True):
    """A step of a plan."""

    step: int
    action: str
    dtc: str | None
    qty: int
    settlement_type: str | None
    settlement_date: str | None


class Plan(Struct, frozen=True, kw_only=True):
    """The parts of a plan that letters name."""

    resolution_steps: tuple[PlanStep, ...]
    additional_ftrs_chased: int
    fallback_strategy: str
    fallback_qty: int
    secondary_fallback: str
    secondary_fallback_qty: int

    def recalled_qty(self) -> int:
        """Return the shares of the plan's recall; 0 where it has none."""
        fallbacks = (
            (self.fallback_strategy, self.fallback_qty),
            (self.secondary_fallback, self.secondary_fallback_qty),
        )
        return sum(qty for name, qty in fallbacks if name == "INITIATE_RECALL")


class Duty(Struct, frozen=True, kw_only=True):
    """An obligation of the clock."""

    rule: str
    kind: str
    state: str
    due_date: str | None


class ClockBlock(Struct, frozen=True, kw_only=True):
    """The parts of a clock that letters name."""

    as_of: str
    trade_date: str
    settlement_date: str
    venue: str
    obligations: tuple[Duty, ...] = ()
    rights: tuple[Right, ...] = ()
    assumptions: tuple[str, ...] = ()


class _Error(Struct, frozen=True):
    message: str


class LineFacts(Struct, frozen=True):
    """The parts of an output line that letters use; every other part is passed over."""

    fail_id: str
    status: Status
    fail: FailSummary | None = None
    triage: _Triage | None = None
    resolution: Plan | None = None
    clock: ClockBlock | None = None
    allotment: tuple[AllottedShares, ...] | None = None
    error: _Error | None = None


class LetterInput(NamedTuple):
    """One fail: its output line, and its record where --fails has it."""

    line: LineFacts
    fail: FailSummary
    record: FailRecord | None

    @property
    def is_sale(self) -> bool:
        """The firm owes the shares."""
        return self.fail.side == "Sell"


_DECODER = msgspec.json.Decoder(LineFacts)


def read_line(line: bytes) -> LineFacts | str:
    """Read an output line, or return why finops did not write it."""
    try:
        return _DECODER.decode(line)
    except UNREADABLE as error:
        return str(error)
