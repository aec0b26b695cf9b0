"""Checks a plan and its certificate without the planner and without a solver (`book.*`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from finops_cli.book.allocation.fill import Part, Parts, add_recalls
from finops_cli.book.allocation.groups import Groups, group_pool
from finops_cli.book.allocation.levels import NAMES, PROVED, GroupFlow, measure, name_levels
from finops_cli.book.allocation.plan import PoolPlan
from finops_cli.book.allocation.pool import TIERS, BookPool, can_serve, is_late
from finops_cli.book.certificates import Cut, PoolCertificate
from finops_cli.book.proof.certificate import (
    Pending,
    describe_fails,
    flow_of,
    list_clears,
    list_in_time,
    list_pending_clears,
)
from finops_cli.book.proof.prices import find_wrong_price, make_prices
from finops_cli.domain.finding import Finding
from finops_cli.kb.chapters.book import BookRules


def check_parts(pool: BookPool, parts: Parts) -> list[Finding]:
    """Check that an allotment is possible: sources, debts, reach, lateness and least partials."""
    found = []
    left = [source.qty for source in pool.sources]
    for fail, mine in zip(pool.fails, parts, strict=True):
        where = f"/{fail.fail_id}"
        covered = sum(part.qty for part in mine if not part.is_beside)
        if covered > fail.owed:
            found.append(_finding("book.over_owed", where, fail.owed, covered))
        if 0 < covered < fail.least:
            found.append(_finding("book.least_partial", where, fail.least, covered))
        for part in mine:
            source = pool.sources[part.source]
            left[part.source] -= part.qty
            place = f"{where}/{source.kind}/{source.id}"
            if not can_serve(source.kind, source.days, fail.days_left):
                found.append(_finding("book.cannot_serve", place, 0, part.qty))
            late = is_late(source.kind, source.days, fail.days_left, pool.receives_late)
            if not part.is_beside and part.is_late != late:
                found.append(_finding("book.cannot_serve", f"{place}/late", late, part.is_late))
    for source, rest in zip(pool.sources, left, strict=True):
        if rest < 0:
            path = f"/{source.kind}/{source.id}"
            found.append(_finding("book.over_source", path, source.qty, source.qty - rest))
    return found


def check_certificate(
    pool: BookPool,
    parts: Parts,
    certificate: PoolCertificate,
    rules: BookRules,
    pending: Sequence[Pending] = (),
) -> list[Finding]:
    """Check that a certificate proves that the plan of a pool is the best one."""
    found = check_parts(pool, parts)
    if found:
        return found
    plan = PoolPlan(parts, certificate.trust, certificate.bound)
    groups = group_pool(pool)
    flow = flow_of(pool, groups, plan)
    found += _check_numbers(pool, groups, flow, certificate)
    found += _check_trust(groups, certificate, rules)
    found += _check_cuts(pool, groups, flow, certificate.cuts)
    clears = list_clears(pool, plan)
    expected = {
        "clears": clears,
        "in_time": list_in_time(pool, plan),
        "pending_would_clear": list_pending_clears(clears, pending),
    }
    for name, value in expected.items():
        if getattr(certificate, name) != value:
            found.append(
                _finding("book.not_optimal", f"/{name}", value, getattr(certificate, name))
            )
    wrong = find_wrong_price(groups, flow, certificate.prices)
    if wrong is None and certificate.prices != make_prices(groups, flow):
        wrong = "prices that are not the shortest distances"  # they prove it, but were changed
    if wrong is not None:
        found.append(_finding("book.price", "/prices", "prices that prove the plan", wrong))
    found += _check_recalls(pool, parts)
    return found


def _check_numbers(
    pool: BookPool, groups: Groups, flow: GroupFlow, certificate: PoolCertificate
) -> Iterator[Finding]:
    owed = sum(fail.owed for fail in pool.fails)
    if certificate.cusip != pool.cusip:
        yield _finding("book.not_optimal", "/cusip", pool.cusip, certificate.cusip)
    if certificate.owed != owed:
        yield _finding("book.not_optimal", "/owed", owed, certificate.owed)
    levels = name_levels(measure(groups, flow)[:PROVED])
    if certificate.levels != levels:
        yield _finding("book.not_optimal", "/levels", levels, certificate.levels)
    if certificate.borrow_cap != pool.borrow_cap:
        yield _finding("book.not_optimal", "/borrow_cap", pool.borrow_cap, certificate.borrow_cap)


def _check_trust(
    groups: Groups, certificate: PoolCertificate, rules: BookRules
) -> Iterator[Finding]:
    count = len(groups.with_least)
    accepted: tuple[str, ...]
    if not count:
        accepted = ("proved",)
    elif count <= rules.enumerate_upto:
        accepted = ("proved for those served",)
    else:
        accepted = ("proved for those served", "solver", "best found")
    if certificate.trust not in accepted:
        yield _finding("book.not_optimal", "/trust", list(accepted), certificate.trust)
    has_bound = certificate.bound is not None
    if has_bound != (certificate.trust == "best found"):
        yield _finding("book.not_optimal", "/bound", "only with best found", certificate.trust)
    elif certificate.bound is not None and certificate.bound.level not in (
        *NAMES,
        "moved",
        "served",
    ):
        yield _finding("book.not_optimal", "/bound/level", "a level", certificate.bound.level)


def _check_cuts(
    pool: BookPool, groups: Groups, flow: GroupFlow, cuts: Sequence[Cut]
) -> Iterator[Finding]:
    short = [
        tier
        for tier in TIERS
        if any(qty and groups.fails[a].tier == tier for a, qty in enumerate(flow.uncovered))
    ]
    stated = [cut.down_to for cut in cuts]
    is_subset = bool(groups.with_least) and [t for t in short if t in stated] == stated
    if stated != short and not is_subset:
        yield _finding("book.cut", "/cuts", short, stated)
    by_name = {fail.fail_id: fail for fail in pool.fails}
    for place, cut in enumerate(cuts):
        path, tiers = f"/cuts/{place}", TIERS[: TIERS.index(cut.down_to) + 1]
        fails = [by_name[name] for name in cut.fails if name in by_name]
        in_queue = sorted(fails, key=lambda fail: fail.priority)
        if [fail.fail_id for fail in in_queue] != cut.fails or not fails:
            yield _finding(
                "book.cut", f"{path}/fails", "fails of the security, each once", cut.fails
            )
            continue
        if any(fail.tier not in tiers for fail in fails):
            yield _finding("book.cut", f"{path}/fails", f"fails down to {cut.down_to}", cut.fails)
        expected = describe_fails(pool, in_queue, cut.down_to)
        if expected != cut:
            yield _finding("book.cut", path, expected, cut)
        lacking = sum(qty for a, qty in enumerate(flow.uncovered) if groups.fails[a].tier in tiers)
        if expected.uncovered != lacking:
            yield _finding("book.cut", f"{path}/uncovered", lacking, expected.uncovered)


def _check_recalls(pool: BookPool, parts: Parts) -> Iterator[Finding]:
    """Check the recalls beside borrows, which cover nothing."""
    expected: list[list[Part]] = [[part for part in mine if not part.is_beside] for mine in parts]
    add_recalls(pool, expected)
    for fail, right, given in zip(pool.fails, expected, parts, strict=True):
        beside, stated = ([p for p in mine if p.is_beside] for mine in (right, given))
        if beside != stated:
            yield _finding("book.not_optimal", f"/{fail.fail_id}/beside", beside, stated)


def _finding(rule: str, path: str, expected: Any, actual: Any) -> Finding:
    return Finding(
        rule=rule,
        path=path,
        expected=expected,
        actual=actual,
        message=f"{path[1:]} is {actual}; expected: {expected}",
    )
