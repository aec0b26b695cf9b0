"""The plan of one security: the best allotment of its sources to its fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from finops_cli.book.allocation.fill import Parts, add_recalls, fill, plan_alone
from finops_cli.book.allocation.groups import Sent, group_pool, trim_sent
from finops_cli.book.allocation.least_partials import solve_groups
from finops_cli.book.allocation.pool import BookPool
from finops_cli.book.certificates import Trust, Unproved
from finops_cli.kb.chapters.book import BookRules


class PoolPlan(NamedTuple):
    """The shares of each fail, and how far it is proved that no plan is better."""

    parts: Parts
    trust: Trust = "proved"
    bound: Unproved | None = None

    def uncovered(self, pool: BookPool, fail: int) -> int:
        """Count the shares of a fail that no source covers."""
        return pool.fails[fail].owed - sum(
            part.qty for part in self.parts[fail] if not part.is_beside
        )

    def late(self, fail: int) -> int:
        """Count the shares of a fail that are covered late."""
        return sum(part.qty for part in self.parts[fail] if part.is_late)


def plan_pool(
    pool: BookPool,
    rules: BookRules,
    sent: Sent | None = None,
    firm_borrows: Mapping[int, int] | None = None,
) -> PoolPlan:
    """Plan the fails of one security.

    `firm_borrows`: shares that fails borrow beyond this problem, by their place in the queue.
    Raises MissingPiece where fails compete and an extra is missing.
    """
    kept = trim_sent(pool, sent or {})
    plan = _plan_uncontended(pool, kept)
    if plan is None:
        groups = group_pool(pool, kept)
        solved = solve_groups(groups, rules)
        plan = PoolPlan(fill(pool, groups, solved.flow, kept), solved.trust, solved.bound)
    elif any(fail.least > 1 for fail in pool.fails):
        plan = plan._replace(trust="proved for those served")
    add_recalls(pool, plan.parts, firm_borrows)
    return plan


def _plan_uncontended(pool: BookPool, kept: Sent) -> PoolPlan | None:
    """Plan each fail alone, where these plans fit together and change nothing that was sent.

    Each is the best for its fail, so together they are the best for all.
    """
    left = [source.qty for source in pool.sources]
    parts: Parts = []
    for fail in pool.fails:
        mine = plan_alone(pool, fail)
        for part in mine:
            left[part.source] -= part.qty
            if left[part.source] < 0:
                return None
        if kept:
            taken = {pool.sources[part.source].key: part.qty for part in mine}
            if any(qty > taken.get(key, 0) for key, qty in kept.get(fail.fail_id, {}).items()):
                return None
        parts.append(mine)
    return PoolPlan(parts)
