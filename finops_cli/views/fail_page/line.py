"""An output line of `run`, `triage` or `resolve` as the page of a fail reads it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import EscalationLevel, Status, Tier
from finops_cli.domain.finding import Finding
from finops_cli.domain.headline import FailSummary, Headline
from finops_cli.domain.sentiment import Tone
from finops_cli.models.protocol import ModelNames
from finops_cli.pipeline.output import LineOrigin
from finops_cli.views.details import read_details
from finops_cli.views.pool_page.pool import PoolFail


class TriageAnswer(Struct, frozen=True, kw_only=True):
    """The triage of a line. A field that a later version adds is passed over."""

    category: str
    cns_direction: str
    lifecycle_state: str
    priority_score: Decimal
    priority_tier: Tier
    category_priority_override: bool
    score_components: dict[str, Decimal]
    reason: str
    action: str
    escalation_level: EscalationLevel
    deadline: str | None
    flags: tuple[str, ...] = ()


class PlanStep(Struct, frozen=True, kw_only=True):
    """A step of a plan. Quantities in shares, coverage in percent of the shares owed."""

    step: int
    action: str
    dtc: str | None
    qty: int
    settlement_type: str | None = None
    settlement_date: str | None = None
    rationale: str
    coverage_after_step_pct: Decimal
    remaining_short: int


class PlanAnswer(Struct, frozen=True, kw_only=True):
    """The plan of a line. Quantities in shares."""

    resolution_steps: tuple[PlanStep, ...]
    additional_ftrs_chased: int = 0
    fallback_strategy: str
    fallback_qty: int
    secondary_fallback: str
    secondary_fallback_qty: int
    total_coverable: int
    residual_short: int
    residual_action: str
    gridlock_detected: bool = False
    gridlock_parties: tuple[str, ...] = ()
    escalation_required: bool = False
    escalation_reason: str = ""
    narrative: str


class LineError(Struct, frozen=True):
    """Why a line has no answer."""

    line: int
    message: str


class LineProvenance(Struct, frozen=True):
    """The backend, the models and the rules of an answer."""

    backend: str
    kb: str
    models: ModelNames | None = None
    attempts: int = 1
    masked: tuple[str, ...] = ()


class FailLine(Struct, frozen=True, kw_only=True):
    """A line, as far as the page shows it."""

    fail_id: str
    status: Status
    verification: dict[str, tuple[Finding, ...] | None]
    fail: FailSummary | None = None
    headline: Headline | None = None
    triage: TriageAnswer | None = None
    resolution: PlanAnswer | None = None
    resolution_skipped: str | None = None
    clock: Clock | None = None
    clock_skipped: str | None = None
    warnings: tuple[Finding, ...] = ()
    origin: LineOrigin | None = None
    provenance: LineProvenance | None = None
    tone: Tone | None = None
    error: LineError | None = None
    raw: dict[str, Any] | None = None
    allotment: tuple[AllottedShares, ...] | None = None
    book: BookPlace | None = None
    queue: tuple[PoolFail, ...] = ()
    """The fails of its security, in their queue; only of a plan of the whole book."""
    rules: tuple[str, ...] = ()
    """The ids of the entries of kb/ that decided the line, in the order of the page."""

    def findings(self) -> list[tuple[str, Finding]]:
        """Return each finding with its stage, in the order of the stages."""
        return [(stage, each) for stage, found in self.verification.items() for each in found or ()]


_DECODER = msgspec.json.Decoder(FailLine)


def read_fail_line(line: bytes, queue: Sequence[PoolFail] = ()) -> FailLine:
    """Decode an output line. Raises msgspec.DecodeError for a line of another shape.

    `queue`: the fails of its security, where they are known.
    """
    found = _DECODER.decode(line)
    details = read_details(line)
    rules = () if details is None else tuple(dict.fromkeys(details.rules()))
    return msgspec.structs.replace(found, rules=rules, queue=tuple(queue))
