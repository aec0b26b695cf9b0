"""Choose the fails to serve where counterparties take no small part (kb: `book.least_partial`)."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from finops_cli.book.allocation.flow import solve_flow
from finops_cli.book.allocation.groups import Groups
from finops_cli.book.allocation.levels import GroupFlow, measure
from finops_cli.book.certificates import Trust, Unproved
from finops_cli.kb.chapters.book import BookRules


class Solved(NamedTuple):
    """The best flow, and how far it is proved."""

    flow: GroupFlow
    trust: Trust = "proved"
    bound: Unproved | None = None


def solve_groups(groups: Groups, rules: BookRules) -> Solved:
    """Find the one best flow between groups. Raises MissingPiece for an extra that is needed."""
    with_least = groups.with_least
    if not with_least:
        flow = solve_flow(groups)
        if flow is None:
            raise AssertionError("uncovered shares have room for everything")
        return Solved(flow)
    if len(with_least) <= rules.enumerate_upto:
        return Solved(_try_every_set(groups), "proved for those served")
    from finops_cli.book.allocation.cp_sat import decide_served

    decision = decide_served(groups, rules.effort)
    flow = solve_flow(groups, decision.served)
    if flow is None:
        raise AssertionError("CP-SAT serves fails that cannot get their least partial")
    return Solved(flow, "solver" if decision.bound is None else "best found", decision.bound)


def _try_every_set(groups: Groups) -> GroupFlow:
    with_least = groups.with_least
    best: tuple[object, ...] | None = None
    chosen: GroupFlow | None = None
    for count in range(len(with_least), -1, -1):
        for served in combinations(with_least, count):
            flow = solve_flow(groups, served)
            if flow is None:
                continue
            value = (
                measure(groups, flow),
                flow.count_served(groups),
                flow.list_best_shares(groups),
            )
            if best is None or value < best:
                best, chosen = value, flow
    if chosen is None:
        raise AssertionError("serving nobody is always possible")
    return chosen
