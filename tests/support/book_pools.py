"""Small pools of a book, drawn from a seed, and every allotment that they allow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

from finops_cli.book.allocation.pool import TIERS, BookPool, DrawingFail, Source, make_pool
from finops_cli.domain.fail import Ftr

Allotment = tuple[tuple[int, ...], ...]
"""Shares by fail and by source, both as the pool has them."""


def receive(id: str, qty: int, age: int = 5, settles: str = "T+1") -> Source:
    """Make a source of a fail to receive."""
    ftr = Ftr(
        dtc="DTC-0161",
        qty=max(qty, 1),
        age_days=age,
        settlement_type="DVP",
        settlement_date=settles,
        cp_fail_rate_pct=1,
        partial_delivery_history=False,
    )
    return Source("FTR", id, qty, days=int(settles[2:]), dtc=ftr.dtc, ftr=ftr)


def draw_pool(seed: int, *, least: bool = False, receives_late: bool = False) -> BookPool:
    """Draw a pool of up to three fails and three sources with few shares each."""
    draw = Random(seed)
    fails = [
        DrawingFail(
            fail_id=f"F-{place}",
            owed=(owed := draw.randint(1, 3)),
            tier=draw.choice(TIERS[: draw.randint(1, 4)]),
            days_left=draw.choice((None, -1, 0, 1, 2, 3, 4)),
            score=draw.randint(1, 3),
            least=draw.randint(1, owed) if least and draw.random() < 0.7 else 1,
            line=place + 1,
        )
        for place in range(draw.randint(1, 3))
    ]
    sources = [draw_source(draw, str(place)) for place in range(draw.randint(1, 3))]
    return make_pool("594918104", fails, sources, receives_late=receives_late)


def draw_source(draw: Random, id: str) -> Source:
    """Draw a source of any kind."""
    qty = draw.randint(0, 3)
    kind = draw.choice(("FTR", "BOX", "DEPOT", "DEPOT", "RECALL", "RECALL", "BORROW"))
    if kind == "FTR":
        return receive(id, qty, draw.randint(4, 6), draw.choice(("T+0", "T+1", "T+2")))
    if kind == "BORROW":
        return Source(kind, id, qty, rate_bps=draw.choice((0, 10)))
    return Source(kind, id, qty, days=0 if kind == "BOX" else draw.randint(0, 3))


def draw_sent(pool: BookPool, seed: int) -> dict[str, dict[tuple[str, str], int]]:
    """Draw what an earlier plan may have sent out, also more than there is now."""
    draw = Random(seed)
    return {
        fail.fail_id: {
            source.key: draw.randint(0, 2) for source in pool.sources if draw.random() < 0.6
        }
        for fail in pool.fails
    }


def list_allotments(pool: BookPool) -> Iterator[Allotment]:
    """List every allotment in whole shares that the rules allow."""
    choices = [list(_shares_of(pool, fail)) for fail in pool.fails]
    for rows in product(*choices):
        if all(
            sum(column) <= source.qty
            for column, source in zip(zip(*rows, strict=True), pool.sources, strict=True)
        ):
            yield rows


def _shares_of(pool: BookPool, fail: DrawingFail) -> Iterator[tuple[int, ...]]:
    ranges = [
        range(min(source.qty, fail.owed) + 1 if _reaches(source, fail) else 1)
        for source in pool.sources
    ]
    for row in product(*ranges):
        if sum(row) == 0 or fail.least <= sum(row) <= fail.owed:
            yield row


def _reaches(source: Source, fail: DrawingFail) -> bool:
    if source.kind != "DEPOT":
        return True
    return fail.days_left is not None and source.days < fail.days_left


def _lateness(source: Source, fail: DrawingFail, receives_late: bool) -> bool:
    kinds = ("RECALL", "FTR") if receives_late else ("RECALL",)
    return source.kind in kinds and fail.days_left is not None and fail.days_left <= source.days


def value_of(
    pool: BookPool, rows: Allotment, sent: dict[str, dict[tuple[str, str], int]]
) -> tuple[object, ...]:
    """Return levels 1 to 15 of an allotment, read from the specification."""
    uncovered, late = dict.fromkeys(TIERS, 0), dict.fromkeys(TIERS, 0)
    used = dict.fromkeys(("BORROW", "RECALL", "DEPOT", "BOX"), 0)
    stay = 0
    for fail, row in zip(pool.fails, rows, strict=True):
        uncovered[fail.tier] += fail.owed - sum(row)
        for source, qty in zip(pool.sources, row, strict=True):
            if _lateness(source, fail, pool.receives_late):
                late[fail.tier] += qty
            if source.kind in used:
                used[source.kind] += qty
            stay += min(qty, sent.get(fail.fail_id, {}).get(source.key, 0))
    not_served = [
        int(not sum(row)) for fail, row in zip(pool.fails, rows, strict=True) if fail.least > 1
    ]
    return (*uncovered.values(), *late.values(), *used.values(), -stay, not_served)


def best_shares(pool: BookPool, rows: Allotment) -> list[int]:
    """Return level 15: by group of fails, the uncovered, then the source groups, worst first."""
    sources = _groups([_source_key(source, pool.receives_late) for source in pool.sources])
    fails = _groups(
        [(fail.tier, fail.days_left, fail.fail_id if fail.least > 1 else "") for fail in pool.fails]
    )
    found = []
    for mine in fails:
        found.append(sum(pool.fails[i].owed - sum(rows[i]) for i in mine))
        found += [sum(rows[i][j] for i in mine for j in members) for members in reversed(sources)]
    return found


def _source_key(source: Source, receives_late: bool) -> tuple[object, ...]:
    if source.kind == "FTR":
        assert source.ftr is not None
        return (source.kind, source.ftr.age_days, source.days) if receives_late else ("FTR",)
    return source.kind, source.days, source.rate_bps


def _groups(keys: list[tuple[object, ...]]) -> list[list[int]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return list(found.values())
