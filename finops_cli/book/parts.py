"""From the plan of a security to the part of each of its fails (book, 7.1 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from finops_cli.book.allocation.fill import Part
from finops_cli.book.allocation.groups import group_pool
from finops_cli.book.allocation.plan import PoolPlan
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, can_serve, is_late
from finops_cli.book.proof.certificate import explain_idle, flow_of, make_cuts
from finops_cli.book.sent import FirmPart
from finops_cli.book.settle import Settled
from finops_cli.domain.allotment import AllottedShares, BookPlace, Change
from finops_cli.domain.finding import Finding
from finops_cli.pipeline.book_parts import PlannedFail, project


class FailPlan(NamedTuple):
    """The plan of one fail, with its numbers."""

    fail: DrawingFail
    """As it is in the book: firm parts included in `owed`."""
    part: PlannedFail
    uncovered: int
    late: int
    borrowed: int


def make_parts(settled: Settled, plan: PoolPlan) -> list[FailPlan]:
    """Make the part of each fail of a security, in its queue."""
    pool = settled.pool
    reach = _Reach(pool)
    found = []
    for place, fail in enumerate(pool.fails):
        drawn = _list_shares(settled, plan.parts[place], place)
        inventory, ftrs = project(drawn)
        allotment = tuple([shares for shares, _ in drawn])
        covering = [each for each in allotment if not each.beside_borrow]
        uncovered, late, borrowed = fail.owed, 0, 0
        for each in covering:
            uncovered -= each.qty
            if each.late:
                late += each.qty
            if each.kind == "BORROW":
                borrowed += each.qty
        shown = BookPlace(
            cusip=pool.cusip,
            place=place + 1,
            of=len(pool.fails),
            uncovered=uncovered,
            late=late,
            alone=max(0, fail.owed - reach.count(fail.days_left)),
            change=_compare(settled, fail.fail_id, covering),
            findings=tuple(settled.findings.get(fail.fail_id, ())),
        )
        part = PlannedFail(allotment=allotment, place=shown, inventory=inventory, ftrs=ftrs)
        found.append(FailPlan(fail, part, uncovered, late, borrowed))
    return found


def explain_uncovered(fails: Sequence[FailPlan], pool: BookPool, plan: PoolPlan) -> list[FailPlan]:
    """Say in each uncovered fail of a shared security why no plan covers it (kb: `book.cut`).

    `pool` is the problem without firm parts, with the borrows that a budget pays for.
    """
    if len(fails) < 2 or not any(each.uncovered for each in fails):
        return list(fails)
    groups = group_pool(pool)
    flow = flow_of(pool, groups, plan)
    says = {cut.down_to: cut.says for cut in make_cuts(pool, groups, flow)}
    for tier in {each.fail.tier for each in fails if each.uncovered} - says.keys():
        says[tier] = explain_idle(pool, groups, flow, tier)
    return [
        _with_place(each, cut=says[each.fail.tier]) if each.uncovered else each for each in fails
    ]


def _with_place(plan: FailPlan, **changes: Any) -> FailPlan:
    place = plan.part.place
    if place is None:
        return plan
    return plan._replace(part=replace(plan.part, place=replace(place, **changes)))


def note_budget(plan: FailPlan, unlent: int) -> FailPlan:
    """Say that the budget keeps shares from a fail that lacks them, or gets them late.

    `unlent`: shares of the lenders that the budget does not pay for.
    """
    place = plan.part.place
    lacking = plan.uncovered + plan.late
    if not unlent or place is None or not lacking:
        return plan
    finding = Finding(
        rule="book.budget",
        path="/book",
        expected=min(lacking, unlent),
        actual=0,
        message=(
            f"the lenders have {unlent:,} more shares, which the borrow budget does not pay for"
        ),
    )
    return _with_place(plan, findings=(*place.findings, finding))


class _Reach:
    """How many shares of a pool reach a fail, by its days left."""

    def __init__(self, pool: BookPool) -> None:
        self._pool = pool
        self._known: dict[int | None, int] = {}

    def count(self, days_left: int | None) -> int:
        if days_left not in self._known:
            reaching = [
                source.qty
                for source in self._pool.sources
                if can_serve(source.kind, source.days, days_left)
            ]
            self._known[days_left] = sum(reaching)
        return self._known[days_left]


def _list_shares(
    settled: Settled, parts: Sequence[Part], place: int
) -> list[tuple[AllottedShares, Source]]:
    """List the shares of a fail, each with its source: in rank, those beside a borrow last."""
    pool, sources = settled.pool, settled.pool.sources
    firm = [(_as_part(each, pool), True) for each in settled.firm if each.fail == place]
    drawn = [*firm, *[(part, False) for part in parts]]
    if firm:  # the parts of a plan are in this order
        drawn.sort(key=_draw_order)
    return [
        (_shares(sources[part.source], part, is_firm), sources[part.source])
        for part, is_firm in drawn
    ]


def _draw_order(drawn: tuple[Part, bool]) -> tuple[bool, int]:
    return drawn[0].is_beside, drawn[0].source


def _as_part(firm: FirmPart, pool: BookPool) -> Part:
    source, days_left = pool.sources[firm.source], pool.fails[firm.fail].days_left
    comes_late = is_late(source.kind, source.days, days_left, pool.receives_late)
    return Part(firm.source, firm.qty, comes_late)


def _shares(source: Source, part: Part, is_firm: bool) -> AllottedShares:
    return AllottedShares(
        kind=source.kind,
        id=source.id,
        dtc=source.dtc,
        qty=part.qty,
        late=part.is_late,
        firm=is_firm,
        beside_borrow=part.is_beside,
    )


def _compare(settled: Settled, name: str, covering: Sequence[AllottedShares]) -> Change | None:
    """Compare an allotment with what was sent; None where no earlier plan is given."""
    sent = settled.sent.get(name)
    if sent is None:
        return "new" if settled.has_sent else None
    before, after = ({}, {})  # type: dict[tuple[str, str], int], dict[tuple[str, str], int]
    for part in sent:
        before[part.key] = before.get(part.key, 0) + part.qty
    for each in covering:
        key = each.kind, each.id
        after[key] = after.get(key, 0) + each.qty
    return "same" if {k: q for k, q in before.items() if q} == after else "changed"
