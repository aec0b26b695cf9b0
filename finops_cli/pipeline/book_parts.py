"""The part of a plan of the whole book that concerns one fail, and the stage that shows it.

The planner writes a part for each input line before the lines are answered. The stage projects a
part to a case, and the rules that plan every fail plan it: nothing else makes plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain import exact_json
from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.finding import Problem
from finops_cli.domain.money import exact
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer
from finops_cli.rules.gridlock import Gridlock
from finops_cli.rules.handoff import NotApplicable, find_exemption, make_case
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.resolution import check_resolution

NO_POOL = "no inventory is known for its security"


class PlannedFail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of one fail."""

    problems: tuple[Problem, ...] = ()
    """Why the fail is rejected."""
    skipped: str | None = None
    """Why the fail has no plan."""
    allotment: tuple[AllottedShares, ...] | None = None
    place: BookPlace | None = None
    inventory: Inventory | None = None
    """The stock that the fail may use."""
    ftrs: tuple[Ftr, ...] = ()
    """The receives that it gets shares of."""


class OpenedPart(NamedTuple):
    """A part, and the verdict on the gridlock of its security."""

    planned: PlannedFail
    gridlock: Gridlock | None = None


class Attached(Protocol):
    """The object that the planner attaches to a line. Processes pass it on."""

    @property
    def copied(self) -> bytes | None:
        """The output line, if an earlier plan has it."""

    def open(
        self, fail: FailRecord, triage: Triage | None, law: Clock | None, kb: KnowledgeBase
    ) -> OpenedPart:
        """Return the part of the fail. `law`: the clock whose days its plan follows."""


class AttachedPart(NamedTuple):
    """A part as the planner keeps it, and the verdict on the gridlock of its security."""

    part: bytes
    gridlock: bytes | None = None
    copied: bytes | None = None

    def open(
        self, fail: FailRecord, triage: Triage | None, law: Clock | None, kb: KnowledgeBase
    ) -> OpenedPart:
        """Decode the part and the verdict."""
        verdict = None if self.gridlock is None else read_gridlock(self.gridlock)
        return OpenedPart(read_part(self), verdict)


_DECODER = msgspec.json.Decoder(PlannedFail, dec_hook=exact, float_hook=Decimal)
_GRIDLOCK = msgspec.json.Decoder(Gridlock)


def encode_part(part: PlannedFail) -> bytes:
    """Encode a part for `read_part`."""
    return exact_json.encode(part)


def read_part(attached: AttachedPart) -> PlannedFail:
    """Decode a part."""
    return _DECODER.decode(attached.part)


@lru_cache(maxsize=16)
def read_gridlock(verdict: bytes) -> Gridlock:
    """Decode the verdict on a gridlock; the fails of a security share it."""
    return _GRIDLOCK.decode(verdict)


def resolve_part(
    fail: FailRecord,
    triage: Triage,
    planned: PlannedFail,
    gridlock: Gridlock | None,
    days: Any,
    kb: KnowledgeBase,
) -> Answer[Resolution] | NotApplicable:
    """Plan a fail with its part alone, or say why it has no plan.

    `days` puts the law's days into a case.
    """
    exemption = find_exemption(fail, triage)
    if exemption is not None:
        return exemption
    if planned.skipped is not None:
        return NotApplicable(planned.skipped)
    if planned.inventory is None:
        return NotApplicable(NO_POOL)
    case: ResolverInput = days(make_case(fail, triage, kb, planned.inventory, planned.ftrs))
    plan = resolve(case, kb, gridlock)
    findings = check_resolution(plan, kb, plan, case.ftd_qty)
    return Answer(None, "failed", findings) if findings else Answer(plan)


def project(
    drawn: Iterable[tuple[AllottedShares, Any]],
) -> tuple[Inventory, tuple[Ftr, ...]]:
    """Turn an allotment into the stock and the receives of a case.

    `drawn`: shares, each with its source: an object with `days` (settlement days) and `ftr`.
    """
    shares = dict.fromkeys(("BOX", "DEPOT", "RECALL", "BORROW"), 0)
    days = {"DEPOT": 0, "RECALL": 0}
    ftrs = []
    for each, source in drawn:
        if each.kind == "FTR":
            ftrs.append(replace(source.ftr, allocated_qty=each.qty))
            continue
        shares[each.kind] += each.qty
        if each.kind in days:
            days[each.kind] = max(days[each.kind], source.days)
    inventory = Inventory(
        box_qty=shares["BOX"],
        stock_loan_available=shares["BORROW"],
        recall_outstanding=shares["RECALL"],
        pending_receives=0,
        depot_qty=shares["DEPOT"],
        depot_transit_days=days["DEPOT"] if shares["DEPOT"] else None,
        recall_notice_days=days["RECALL"] if shares["RECALL"] else None,
    )
    return inventory, tuple(ftrs)
