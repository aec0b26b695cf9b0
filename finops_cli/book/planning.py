"""Plans a whole book: security after security, with the parts of their fails put into the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from finops_cli.book.allocation.levels import NAMES
from finops_cli.book.allocation.plan import PoolPlan, plan_pool
from finops_cli.book.allocation.pool import BookPool, make_pool
from finops_cli.book.budget import Budget
from finops_cli.book.certificates import BookTotal, PoolCertificate, TotalLine
from finops_cli.book.index import IndexedFail
from finops_cli.book.parts import FailPlan, explain_uncovered, make_parts, note_budget
from finops_cli.book.proof.certificate import certify
from finops_cli.book.settle import BookInput, Settled, judge_gridlock, settle
from finops_cli.book.summary import BookSummary
from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase


def plan_book(
    given: BookInput,
    budget: Budget | None = None,
    certificate: BinaryIO | None = None,
    only: Iterable[str] | None = None,
) -> BookSummary:
    """Plan every security of a book, and put the parts of its fails into the index.

    `only`: the securities to plan; None: all. `certificate` gets a line of proof for each security,
    and a last line of sums. Raises MissingPiece where fails compete and an extra is missing.
    """
    if budget is not None:
        _spend(given, budget)
    summary, proof = BookSummary(), _Proof(certificate)
    for cusip, fails in _list_pools(given, only):
        settled = settle(cusip, given, fails)
        if settled is None:
            continue
        pool = _cap(settled, budget)
        plan = plan_settled(settled, pool, given.kb)
        unlent = _count_unlent(settled, pool)
        explained = explain_uncovered(make_parts(settled, plan), pool, plan)
        planned = [note_budget(each, unlent) for each in explained] if unlent else explained
        put_parts(planned, settled, given)
        summary.add(cusip, planned)
        if plan.trust == "best found" or settled.has_firm_fault:
            summary.again.add(cusip)
        proof.add(pool, plan, settled)
    proof.finish(summary, budget)
    if given.inventory is not None:
        summary.unasked = sum(not given.index.has(cusip) for cusip in given.inventory.list_cusips())
    if given.sent is not None:
        summary.firm_unknown = given.sent.list_unknown()
    return summary


def _list_pools(
    given: BookInput, only: Iterable[str] | None
) -> Iterator[tuple[str, list[IndexedFail]]]:
    if only is None:
        yield from given.index.stream_pools()
        return
    for cusip in sorted(only):
        fails = given.index.read_fails(cusip)
        if fails:
            yield cusip, fails


def _count_unlent(settled: Settled, pool: BookPool) -> int:
    """Count the shares of lenders that a budget keeps out of a pool."""
    if pool.borrow_cap is None:
        return 0
    lendable, capped = (
        sum(source.qty for source in one.sources if source.kind == "BORROW")
        for one in (settled.free, pool)
    )
    return lendable - capped


def _cap(settled: Settled, budget: Budget | None) -> BookPool:
    pool = settled.free
    cap = None if budget is None else budget.cap(pool.cusip)
    return pool if cap is None else cap_pool(pool, cap)


def cap_pool(pool: BookPool, cap: int) -> BookPool:
    """Cut the borrows of a pool to a cap; its places stay the same."""
    capped = make_pool(pool.cusip, pool.fails, pool.sources, cap, pool.receives_late)
    qty = {source.key: source.qty for source in capped.sources}
    sources = tuple(source._replace(qty=qty[source.key]) for source in pool.sources)
    return pool._replace(sources=sources, borrow_cap=cap)


def plan_settled(settled: Settled, pool: BookPool, kb: KnowledgeBase) -> PoolPlan:
    """Plan the problem `pool` of a security: without its firm parts, its borrows capped."""
    sent = {
        name: {part.key: part.qty for part in parts if not part.is_firm}
        for name, parts in settled.sent.items()
    }
    firm_borrows: dict[int, int] = {}
    for part in settled.firm:
        if pool.sources[part.source].kind == "BORROW":
            firm_borrows[part.fail] = firm_borrows.get(part.fail, 0) + part.qty
    return plan_pool(pool, kb.book, sent, firm_borrows)


def put_parts(fails: list[FailPlan], settled: Settled, given: BookInput) -> None:
    """Put parts into the index, with one verdict on the gridlock for each set of brokers."""
    verdicts: dict[tuple[str, ...], int] = {}
    rows = []
    for each in fails:
        related = settled.drawing[each.fail.fail_id].related
        if related not in verdicts:
            verdict = judge_gridlock(related, settled.facts.ftrs, given.kb)
            verdicts[related] = given.index.put_verdict(verdict)
        rows.append((each.fail.line, each.part, verdicts[related]))
    given.index.put_parts(rows)


def _spend(given: BookInput, budget: Budget) -> None:
    """Grant the budget to the fails of the whole book, in their queue."""
    for cusip, fails in given.index.stream_pools():
        settled = settle(cusip, given, fails)
        if settled is not None:
            budget.add(settled.free, settled.facts.price)

    def find_late(cusip: str, cap: int) -> dict[str, int]:
        settled = settle(cusip, given)
        if settled is None:
            return {}
        pool = cap_pool(settled.free, cap)
        plan = plan_settled(settled, pool, given.kb)
        return {fail.fail_id: plan.late(place) for place, fail in enumerate(pool.fails)}

    budget.grant_uncovered(given.index.stream_queue())
    budget.grant_late(list(given.index.stream_queue()), find_late)


@dataclass(slots=True)
class _Proof:
    """Writes the certificate."""

    file: BinaryIO | None
    owed: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    trust: Counter[str] = field(default_factory=Counter)

    def add(self, pool: BookPool, plan: PoolPlan, settled: Settled) -> None:
        """Write the line of a security."""
        if self.file is None:
            return
        made = certify(pool, plan, settled.facts.pending)
        if made is None:
            raise AssertionError(f"the plan of {pool.cusip} is not the best one")
        self._count(made)
        self.file.write(exact_json.encode(made) + b"\n")

    def finish(self, summary: BookSummary, budget: Budget | None) -> None:
        """Write the sums."""
        if self.file is None:
            return
        total = BookTotal(
            pools=summary.pools,
            fails=summary.fails.total(),
            owed=self.owed,
            levels={name: self.levels[name] for name in NAMES if self.levels[name]},
            trust=dict(sorted(self.trust.items())),
            borrow_budget=None if budget is None else f"{budget.usd:f}",
        )
        self.file.write(exact_json.encode(TotalLine(total)) + b"\n")

    def _count(self, made: PoolCertificate) -> None:
        self.owed += made.owed
        self.levels.update(made.levels)
        self.trust[made.trust] += 1
