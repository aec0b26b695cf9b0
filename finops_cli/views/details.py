"""The parts of an output line beyond its row in a list: the plan, and what the answer rests on."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE


class PlanStep(Struct, frozen=True):
    """A step of a plan. Quantities in shares, coverage in percent of the shares owed."""

    step: int
    action: str
    dtc: str | None
    qty: int
    rationale: str
    coverage_after_step_pct: Decimal
    remaining_short: int


class Plan(Struct, frozen=True, kw_only=True):
    """The plan of a line, as far as the views show it. Quantities in shares."""

    resolution_steps: tuple[PlanStep, ...]
    fallback_strategy: str = "NONE"
    fallback_qty: int = 0
    secondary_fallback: str = "NONE"
    secondary_fallback_qty: int = 0
    total_coverable: int = 0
    residual_short: int = 0
    residual_action: str = "NONE"
    escalation_reason: str = ""
    narrative: str = ""


class CalendarName(Struct, frozen=True):
    """The calendar that dates were counted in."""

    id: str
    sha256: str
    overrides: int = 0
    reviewed: str | None = None


class _Entry(Struct, frozen=True):
    kb: str


class _Clock(Struct, frozen=True):
    as_of: str
    as_of_source: str | None = None
    calendar: CalendarName | None = None
    obligations: tuple[_Entry, ...] = ()
    rights: tuple[_Entry, ...] = ()
    costs: tuple[_Entry, ...] = ()


class _Finding(Struct, frozen=True):
    rule: str


class _Provenance(Struct, frozen=True):
    backend: str
    kb: str
    models: dict[str, str | None] = {}
    digests: dict[str, str | None] = {}


class _Origin(Struct, frozen=True):
    derived: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    as_of: str | None = None


class Details(Struct, frozen=True, kw_only=True):
    """The plan of a line, and what its answer was made from."""

    resolution: Plan | None = None
    triage: msgspec.Raw = msgspec.Raw(b"null")
    headline: msgspec.Raw = msgspec.Raw(b"null")
    verification: dict[str, tuple[_Finding, ...] | None] = {}
    warnings: tuple[_Finding, ...] = ()
    provenance: _Provenance | None = None
    clock: _Clock | None = None
    origin: _Origin | None = None

    def as_of(self) -> str | None:
        """Return the moment at which the record was true; None if the line does not say it."""
        if self.clock is not None:
            return self.clock.as_of
        return None if self.origin is None else self.origin.as_of

    def rules(self) -> Iterator[str]:
        """Yield the ids of the entries of kb/ that decided the line."""
        for part, ids in (
            (self.headline, _HEADLINE_RULES),
            (self.triage, _TRIAGE_RULES),
        ):
            if bytes(part) != b"null":
                yield from ids
        if self.resolution is not None:
            yield from _PLAN_RULES
            yield from self._plan_rules(self.resolution)
        if self.clock is not None:
            for entries in (self.clock.obligations, self.clock.rights, self.clock.costs):
                yield from (each.kb for each in entries)
        yield from (each.rule for each in self.warnings)
        for findings in self.verification.values():
            yield from (each.rule for each in findings or ())

    def _plan_rules(self, plan: Plan) -> Iterator[str]:
        for step in plan.resolution_steps:
            if step.action in STEP_RULES:
                yield STEP_RULES[step.action]
        if plan.fallback_strategy != "NONE":
            yield "waterfall.fallback"
        if plan.residual_short:
            yield "plan.escalation"


_HEADLINE_RULES = ("headline.order",)
_TRIAGE_RULES = (
    "triage.category",
    "triage.lifecycle",
    "triage.action",
    "triage.deadline",
    "score.base",
    "score.priority",
    "tier.band",
    "tier.escalation",
)
_PLAN_RULES = ("waterfall.applies", "waterfall.rank", "plan.coverage", "plan.total")
STEP_RULES = {
    "CHASE_FTR": "waterfall.chase",
    "OFFSET_FTR": "waterfall.offset",
    "APPLY_BOX": "waterfall.box",
    "DEPOT_MOVEMENT": "waterfall.depot",
    "PARTIAL_DELIVER": "waterfall.partial",
    "INITIATE_RECALL": "waterfall.fallback",
    "SOURCE_BORROW": "waterfall.fallback",
    "NET_GRIDLOCK": "gridlock.detected",
    "BUY_IN_NOTICE": "waterfall.b2b_notice",
    "SPO_SETTLEMENT": "waterfall.corporate_action",
    "ESCALATE": "plan.escalation",
}
"""The rule of each action of a step."""

_DECODER = msgspec.json.Decoder(Details)
_PLANS = msgspec.json.Decoder(Plan)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def read_details(line: bytes) -> Details | None:
    """Read the details of an output line; None where they have another shape."""
    try:
        return _DECODER.decode(line)
    except UNREADABLE:
        return None


def pack_plan(plan: Plan) -> bytes:
    """Encode a plan for an index."""
    return _ENCODER.encode(plan)


def unpack_plan(packed: bytes) -> Plan:
    """Decode a plan that `pack_plan` encoded."""
    return _PLANS.decode(packed)
