"""Makes the certificate of a plan (kb: `book.cut`, `book.price`). No solver is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from finops_cli.book.allocation.groups import Groups, group_pool
from finops_cli.book.allocation.levels import PROVED, GroupFlow, measure, name_levels
from finops_cli.book.allocation.plan import PoolPlan
from finops_cli.book.allocation.pool import KINDS, TIERS, BookPool, DrawingFail, can_serve, is_late
from finops_cli.book.certificates import Clear, Cut, PendingClear, PoolCertificate
from finops_cli.book.proof.prices import make_prices
from finops_cli.book.proof.sentences import (
    describe_clear,
    describe_cut,
    describe_idle,
    describe_in_time,
)
from finops_cli.domain.enums import Tier


class Pending(NamedTuple):
    """A receive that is expected. No plan counts it."""

    id: str
    qty: int
    settlement_date: str | None = None


def certify(
    pool: BookPool, plan: PoolPlan, pending: Sequence[Pending] = ()
) -> PoolCertificate | None:
    """Prove that the plan of a pool is the best one; None where a better one exists."""
    groups = group_pool(pool)
    flow = flow_of(pool, groups, plan)
    prices = make_prices(groups, flow)
    if prices is None:
        return None
    clears = list_clears(pool, plan)
    return PoolCertificate(
        cusip=pool.cusip,
        owed=sum(fail.owed for fail in pool.fails),
        levels=name_levels(measure(groups, flow)[:PROVED]),
        cuts=make_cuts(pool, groups, flow),
        clears=clears,
        in_time=list_in_time(pool, plan),
        pending_would_clear=list_pending_clears(clears, pending),
        prices=prices,
        trust=plan.trust,
        bound=plan.bound,
        borrow_cap=pool.borrow_cap,
    )


def flow_of(pool: BookPool, groups: Groups, plan: PoolPlan) -> GroupFlow:
    """Add up the parts of a plan between groups."""
    fail_group = {place: a for a, group in enumerate(groups.fails) for place in group.members}
    source_group = {place: b for b, group in enumerate(groups.sources) for place in group.members}
    uncovered = [group.owed for group in groups.fails]
    used: dict[tuple[int, int], int] = {}
    for fail, mine in enumerate(plan.parts):
        for part in mine:
            if not part.is_beside and part.qty:
                pair = source_group[part.source], fail_group[fail]
                used[pair] = used.get(pair, 0) + part.qty
                uncovered[pair[1]] -= part.qty
    return GroupFlow(tuple(uncovered), used)


def make_cuts(pool: BookPool, groups: Groups, flow: GroupFlow) -> list[Cut]:
    """Make the cut of each tier with uncovered shares.

    With least partials, a tier may have none: shares can lie idle there.
    """
    short = {groups.fails[a].tier for a, qty in enumerate(flow.uncovered) if qty}
    cuts = []
    for place, tier in enumerate(TIERS):
        if tier in short:
            members = _close(groups, flow, TIERS[: place + 1])
            cut = describe_members(pool, groups, members, tier)
            lacking = sum(
                qty
                for a, qty in enumerate(flow.uncovered)
                if groups.fails[a].tier in TIERS[: place + 1]
            )
            if cut.uncovered == lacking:
                cuts.append(cut)
    return cuts


def explain_idle(pool: BookPool, groups: Groups, flow: GroupFlow, tier: Tier) -> str:
    """Say why fails of a tier that has no cut stay uncovered: least partials keep shares away."""
    members = _close(groups, flow, TIERS[: TIERS.index(tier) + 1])
    reaching = {b for b, a in groups.late if a in members}
    used = [(a, qty) for (b, a), qty in flow.used.items() if b in reaching]
    unserved = [
        pool.fails[groups.fails[a].members[0]]
        for a in members
        if groups.fails[a].least > 1 and flow.uncovered[a] == groups.fails[a].owed
    ]
    return describe_idle(
        [(fail.fail_id, fail.least) for fail in unserved],
        idle=sum(groups.sources[b].qty for b in reaching) - sum(qty for _, qty in used),
        elsewhere=sum(qty for a, qty in used if a not in members),
    )


def describe_members(pool: BookPool, groups: Groups, members: Sequence[int], down_to: Tier) -> Cut:
    """Add up a set of fail groups against every source that may serve one of them."""
    fails = sorted(place for a in members for place in groups.fails[a].members)
    return describe_fails(pool, [pool.fails[place] for place in fails], down_to)


def describe_fails(pool: BookPool, fails: Sequence[DrawingFail], down_to: Tier) -> Cut:
    """Add up a set of fails against every source that may serve one of them."""
    days = {fail.days_left for fail in fails}
    reaching = [
        source
        for source in pool.sources
        if any(can_serve(source.kind, source.days, each) for each in days)
    ]
    has_late = any(
        source.qty and is_late(source.kind, source.days, each, pool.receives_late)
        for source in reaching
        for each in days
    )
    held = {kind: sum(source.qty for source in reaching if source.kind == kind) for kind in KINDS}
    owed, within = sum(fail.owed for fail in fails), sum(held.values())
    names = [fail.fail_id for fail in fails]
    return Cut(
        down_to=down_to,
        fails=names,
        sources=[source.key for source in reaching],
        owed=owed,
        within_reach=within,
        uncovered=owed - within,
        says=describe_cut(names, owed, held, owed - within, has_late),
    )


def list_clears(pool: BookPool, plan: PoolPlan) -> list[Clear]:
    """List the uncovered fails in the queue, with the shares that would clear them."""
    lacking = [(fail, plan.uncovered(pool, place)) for place, fail in enumerate(pool.fails)]
    return _accumulate(pool, lacking, describe_clear)


def list_in_time(pool: BookPool, plan: PoolPlan) -> list[Clear]:
    """List the late fails in the queue, with the shares that would bring them in time."""
    late = [(fail, plan.late(place)) for place, fail in enumerate(pool.fails)]
    return _accumulate(pool, late, describe_in_time)


def list_pending_clears(clears: Sequence[Clear], pending: Sequence[Pending]) -> list[PendingClear]:
    """List the fails that each pending receive would clear, together with those before it."""
    found, arrived, cleared = [], 0, 0
    for each in sorted(pending, key=_arrival):
        arrived += each.qty
        first = cleared
        while cleared < len(clears) and clears[cleared].cumulative <= arrived:
            cleared += 1
        if cleared > first:
            names = [clear.fail_id for clear in clears[first:cleared]]
            found.append(
                PendingClear(
                    id=each.id, qty=each.qty, settlement_date=each.settlement_date, clears=names
                )
            )
    return found


def _arrival(pending: Pending) -> tuple[bool, int, str]:
    day = pending.settlement_date
    return day is None, 0 if day is None else int(day[2:]), pending.id


def _accumulate(
    pool: BookPool,
    shares: Sequence[tuple[DrawingFail, int]],
    describe: Callable[[str, int, int, Sequence[str]], str],
) -> list[Clear]:
    depots = [source.days for source in pool.sources if source.kind == "DEPOT"]
    found, cumulative = [], 0
    for fail, qty in shares:
        if not qty:
            continue
        cumulative += qty
        in_reach = any(can_serve("DEPOT", days, fail.days_left) for days in depots)
        kinds = ["BOX", "BORROW", *(["DEPOT"] if in_reach else [])]
        found.append(
            Clear(
                fail_id=fail.fail_id,
                shares=qty,
                cumulative=cumulative,
                kinds=kinds,
                says=describe(fail.fail_id, qty, cumulative, kinds),
            )
        )
    return found


def _close(groups: Groups, flow: GroupFlow, tiers: Sequence[Tier]) -> list[int]:
    """Begin with the uncovered groups, and add groups that a source feeds which reaches the set."""
    members = {a for a, qty in enumerate(flow.uncovered) if qty and groups.fails[a].tier in tiers}
    while True:
        reaching = {b for b, a in groups.late if a in members}
        fed = {
            a
            for (b, a), qty in flow.used.items()
            if qty and b in reaching and groups.fails[a].tier in tiers
        }
        if fed <= members:
            return sorted(members)
        members |= fed
