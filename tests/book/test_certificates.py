"""A certificate proves the plan of a pool; worse plans and spoiled certificates are refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from finops_cli.book.allocation.fill import Part, Parts, add_recalls
from finops_cli.book.allocation.plan import PoolPlan, plan_pool
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, is_late, make_pool
from finops_cli.book.certificates import PoolCertificate
from finops_cli.book.proof.certificate import Pending, certify
from finops_cli.book.proof.certificate_check import check_certificate
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.book_pools import Allotment, draw_pool, list_allotments, value_of

pytest.importorskip("networkx")


def parts_of(pool: BookPool, rows: Allotment) -> Parts:
    """Make the parts of an allotment."""
    parts = []
    for fail, row in zip(pool.fails, rows, strict=True):
        mine = []
        for place, qty in enumerate(row):
            source = pool.sources[place]
            late = is_late(source.kind, source.days, fail.days_left, pool.receives_late)
            mine += [Part(place, qty, late)] if qty else []
        parts.append(mine)
    add_recalls(pool, parts)
    return parts


def rows_of(pool: BookPool, parts: Parts) -> Allotment:
    """Return the shares of each fail by source."""
    return tuple(
        tuple(
            sum(part.qty for part in mine if part.source == place and not part.is_beside)
            for place in range(len(pool.sources))
        )
        for mine in parts
    )


def prove(pool: BookPool, plan: PoolPlan) -> PoolCertificate:
    """Return the certificate of a plan, as a file would have it."""
    made = certify(pool, plan)
    assert made is not None
    return msgspec.json.decode(msgspec.json.encode(made), type=PoolCertificate)


@pytest.mark.parametrize("seed", range(120))
def test_certificate_of_a_plan_is_accepted(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the certificate of every plan is accepted, with least partials or late receives."""
    pool = draw_pool(seed, least=seed % 3 == 1, receives_late=seed % 3 == 2)
    plan = plan_pool(pool, kb.book)
    assert check_certificate(pool, plan.parts, prove(pool, plan), kb.book) == []


@pytest.mark.parametrize(
    "seed", [*range(24), *(pytest.param(n, marks=pytest.mark.slow) for n in range(24, 400))]
)
def test_worse_plan_has_no_certificate(seed: int, kb: KnowledgeBase) -> None:
    """Rule: a worse plan has no certificate; the one of the best plan does not fit it."""
    pool = draw_pool(seed, receives_late=seed % 2 == 1)
    best = plan_pool(pool, kb.book)
    certificate = prove(pool, best)
    value = value_of(pool, rows_of(pool, best.parts), {})[:12]
    for rows in list_allotments(pool):
        parts = parts_of(pool, rows)
        is_best = value_of(pool, rows, {})[:12] == value
        assert (certify(pool, PoolPlan(parts)) is not None) == is_best
        found = check_certificate(pool, parts, certificate, kb.book)
        if is_best:
            assert {each.rule for each in found} <= {"book.not_optimal"}
        else:
            assert found


def contended() -> tuple[BookPool, list[Pending]]:
    """The example of the specification, with a late recall and pending receives."""
    fails = [
        DrawingFail("F-B", 9, "CRITICAL", 1),
        DrawingFail("F-A", 5, "HIGH", 10),
        DrawingFail("F-C", 4, "MEDIUM", 1),
    ]
    sources = [
        Source("BOX", "", 6),
        Source("DEPOT", "HK", 5, days=3),
        Source("RECALL", "L", 2, days=3),
        Source("BORROW", "X", 1),
    ]
    return make_pool("594918104", fails, sources), [Pending("P", 4, "T+1"), Pending("Q", 2, "T+0")]


def test_cut_and_clears_have_the_numbers_of_the_example(kb: KnowledgeBase) -> None:
    """Rule: a cut names who owes, what reaches them and what is missing in one sentence."""
    fails = [DrawingFail("F-B", 9, "CRITICAL", 1), DrawingFail("F-A", 5, "HIGH", 10)]
    pool = make_pool("594918104", fails, [Source("BOX", "", 6), Source("DEPOT", "", 5, days=3)])
    made = prove(pool, plan_pool(pool, kb.book))
    assert made.owed == 14
    assert made.levels == {"uncovered CRITICAL": 3, "use DEPOT": 5, "use BOX": 6}
    assert made.trust == "proved"
    [cut], [clear] = made.cuts, made.clears
    assert (cut.down_to, cut.fails, cut.sources) == ("CRITICAL", ["F-B"], [("BOX", "")])
    assert (cut.owed, cut.within_reach, cut.uncovered) == (9, 6, 3)
    assert cut.says == (
        "F-B owes 9. What reaches it in time holds 6 (box 6). 3 stay uncovered in any plan."
    )
    assert clear.says == "3 more shares in the box or from a lender would clear F-B."
    assert (clear.shares, clear.cumulative, clear.kinds) == (3, 3, ["BOX", "BORROW"])


def spoil(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield copies of a JSON value with one part changed, dropped or doubled."""
    if isinstance(value, dict):
        for name in value:
            for where, other in spoil(value[name], f"{path}/{name}"):
                yield where, {**value, name: other}
    elif isinstance(value, list):
        for place in range(len(value)):
            for where, other in spoil(value[place], f"{path}/{place}"):
                yield where, [*value[:place], other, *value[place + 1 :]]
            yield f"{path}/{place} dropped", value[:place] + value[place + 1 :]
            yield f"{path}/{place} doubled", [*value[: place + 1], *value[place:]]
    elif isinstance(value, int):
        yield f"{path} more", value + 1
        yield f"{path} less", value - 1
    elif isinstance(value, str):
        yield f"{path} text", value + "1"


def test_spoiled_certificate_is_refused(kb: KnowledgeBase) -> None:
    """Rule: no part of a certificate can be changed without a finding."""
    pool, pending = contended()
    plan = plan_pool(pool, kb.book)
    made = certify(pool, plan, pending)
    assert made is not None
    assert made.cuts
    assert made.clears
    assert made.in_time
    assert made.pending_would_clear
    assert check_certificate(pool, plan.parts, made, kb.book, pending) == []
    checked = 0
    for where, other in spoil(msgspec.to_builtins(made)):
        try:
            spoiled = msgspec.convert(other, PoolCertificate)
        except msgspec.ValidationError:
            continue
        checked += 1
        assert check_certificate(pool, plan.parts, spoiled, kb.book, pending), where
    assert checked > 100


def test_spoiled_plan_is_refused(kb: KnowledgeBase) -> None:
    """Rule: a share more, less, elsewhere or without its mark breaks the certificate."""
    pool, pending = contended()
    plan = plan_pool(pool, kb.book)
    made = certify(pool, plan, pending)
    assert made is not None
    for fail, mine in enumerate(plan.parts):
        for place, part in enumerate(mine):
            changes = [
                part._replace(qty=part.qty + 1),
                part._replace(qty=part.qty - 1),
                part._replace(source=(part.source + 1) % len(pool.sources)),
                part._replace(is_late=not part.is_late),
                part._replace(is_beside=not part.is_beside),
            ]
            for other in changes:
                parts = [list(each) for each in plan.parts]
                parts[fail][place] = other
                assert check_certificate(pool, parts, made, kb.book, pending), other


def test_check_needs_no_solver() -> None:
    """Rule: certificates are made and checked without networkx and OR-tools."""
    import subprocess

    code = (
        "import sys; sys.modules['networkx'] = sys.modules['ortools'] = None;"
        "import finops_cli.book.proof.certificate_check, finops_cli.book.proof.certificate"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
