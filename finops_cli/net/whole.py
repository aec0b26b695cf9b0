"""Nets of whole legs: each settles in full or not at all (a program of zeros and ones)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from finops_cli.kb.chapters.net import NetRules
from finops_cli.net.answers import AllTried, Elimination, Prices, Proof, SolverWord, Status
from finops_cli.net.cp_sat import NEEDED_FOR, SolverPart
from finops_cli.net.elimination import peel, refute
from finops_cli.net.every_set import find_best_set
from finops_cli.net.legs import Net, Objective
from finops_cli.net.prices import (
    Bound,
    evaluate,
    find_bound,
    find_forced,
    render_fraction,
    render_prices,
    shorten,
)
from finops_cli.solvers.cp_sat import read_version
from finops_cli.solvers.linear import find_row_prices

_EFFORTS = (0.1, 1, float("inf"))
"""Deterministic seconds of a solve, one after the other: a better set fixes more legs."""


class Found(NamedTuple):
    """The quantity of each leg that settles, and the proof that no set is better."""

    quantities: dict[int, int]
    status: Status
    proof: Proof | None
    bound: int | None = None
    ties_decided: bool = True
    """False where another set of the same value may come before this one."""


Levels = tuple[tuple[int, ...], tuple[int, ...]]
"""The weights of the legs in the objective, and in the one that decides ties."""


def solve_whole(net: Net, objective: Objective, rules: NetRules) -> Found:
    """Find the best set of whole legs. Raises MissingPiece where a solver is needed and missing."""
    other: Objective = "count" if objective == "value" else "value"
    levels = net.weights(objective), net.weights(other)
    every = range(len(net.legs))
    if net.settles(every):
        total = render_fraction(Fraction(sum(levels[0])))
        return _settled(net, list(every), Prices([], total))
    steps, alive = peel(net)
    if not alive:
        return Found({}, "deadlock", Elimination(steps))
    parts = net.find_components(sorted(alive))
    tried = _count_sets(net, parts, rules)
    if tried is not None:
        chosen = sorted(leg for part in parts for leg in find_best_set(net, part, levels))
        return _settled(net, chosen, tried) if chosen else _refuse(net, rules, tried)
    return _solve_parts(net, parts, levels, rules)


def _count_sets(net: Net, parts: Sequence[Sequence[int]], rules: NetRules) -> AllTried | None:
    """Return the number of sets, where they are few enough to try all of them, else None.

    `parts`: the legs that are not dead of themselves, in parts that share no account.
    """
    if len(net.legs) <= rules.enumerate_upto:
        return AllTried(2 ** len(net.legs))
    sizes = [len(part) for part in parts]
    if max(sizes) > rules.enumerate_part_upto:
        return None
    return AllTried(sum(2**size for size in sizes))


def _settled(net: Net, chosen: Sequence[int], proof: Proof, ties_decided: bool = True) -> Found:
    if not net.settles(chosen):
        raise AssertionError("an account is overdrawn")
    return Found(
        {leg: net.legs[leg].qty for leg in chosen}, "settles", proof, ties_decided=ties_decided
    )


def _refuse(net: Net, rules: NetRules, known: Proof) -> Found:
    """Prove that nothing settles, which `known` says: by an elimination, if it is short enough."""
    steps = refute(net, rules.proof_steps)
    if steps is not None:
        return Found({}, "deadlock", Elimination(steps))
    if isinstance(known, AllTried):
        return Found({}, "deadlock", known)
    return Found({}, "undecided", known)


def _solve_parts(
    net: Net, groups: Sequence[Sequence[int]], levels: Levels, rules: NetRules
) -> Found:
    """Solve each group of legs that share accounts, and bound all of them by prices."""
    solved: list[int] = []
    parts: list[SolverPart] = []
    for legs in groups:
        if net.settles(legs):
            solved += legs
        elif len(legs) <= rules.enumerate_part_upto:
            solved += find_best_set(net, legs, levels)
        else:
            parts.append(SolverPart(net, legs, rules.effort))
    search = _Search(net, solved, parts)
    is_proved = search.solve_level(net, levels[0])
    bound, best = search.bound, search.value(levels[0])
    ties_decided = is_proved
    if is_proved and parts:
        for part in parts:
            part.keep(levels[0])
        inside = _keep_value(net, levels[0], best)
        ties_decided = search.solve_level(inside, levels[1])
        if ties_decided:
            forced = find_forced(search.bound, search.value(levels[1]))
            for part in parts:
                part.force(forced)
                part.keep(levels[1])
                ties_decided = part.prefer_earlier() and ties_decided
    return _conclude(net, search.chosen, levels[0], bound, rules, is_proved, ties_decided)


class _Search:
    """The legs that are decided, the parts that a solver searches, and the bound of all."""

    def __init__(self, net: Net, solved: Sequence[int], parts: Sequence[SolverPart]) -> None:
        self._solved = solved
        self._parts = parts
        self.bound = evaluate(net, (0,) * len(net.legs), {})

    @property
    def chosen(self) -> list[int]:
        """Return the best set so far."""
        return sorted([*self._solved, *(leg for part in self._parts for leg in part.chosen)])

    def value(self, weights: Sequence[int]) -> int:
        return sum(weights[leg] for leg in self.chosen)

    def solve_level(self, net: Net, weights: Sequence[int]) -> bool:
        """Find the best set of a level; false where the effort ended before it was proved.

        Prices give a bound and a first set. Legs that every better set has, or lacks, are fixed: so
        the solver searches among few.
        """
        self.bound = find_bound(net, weights, _propose_prices(net, weights))
        open_parts = list(self._parts)
        for part in open_parts:
            others = self.value(weights) - sum(weights[leg] for leg in part.chosen)
            part.start_near(net, weights, self.bound.reduced, self.bound.whole - others)
        for effort in _EFFORTS:
            value = self.value(weights)
            if self.bound.whole <= value:
                return True
            forced = find_forced(self.bound, value)
            for part in open_parts:
                part.force(forced)
            open_parts = [part for part in open_parts if not part.improve(weights, effort)]
        return not open_parts or self.bound.whole <= self.value(weights)


def _keep_value(net: Net, weights: Sequence[int], value: int) -> Net:
    """Return the net with two accounts more, which hold the value of a set at `value`.

    One of them is overdrawn by a set that is worth more, the other one by a set that is worth less.
    """
    more, less = len(net.accounts), len(net.accounts) + 1
    return Net(
        net.legs,
        (*net.accounts, ("", "more"), ("", "less")),
        (*net.balances, value, -value),
        tuple(
            (*changes, (more, -weight), (less, weight))
            for changes, weight in zip(net.changes, weights, strict=True)
        ),
    )


def _conclude(
    net: Net,
    chosen: Sequence[int],
    weights: Sequence[int],
    bound: Bound,
    rules: NetRules,
    is_proved: bool,
    ties_decided: bool,
) -> Found:
    """Say how far the best set is proved."""
    best = sum(weights[leg] for leg in chosen)
    short = shorten(net, weights, bound)
    prices, text = render_prices(net, short), render_fraction(short.value)
    by_prices, by_solver = Prices(prices, text), SolverWord("CP-SAT", read_version(), prices, text)
    if not chosen:
        return _refuse(net, rules, by_solver if is_proved else by_prices)
    if short.whole <= best:
        return _settled(net, chosen, by_prices, ties_decided)
    if is_proved:
        return _settled(net, chosen, by_solver, ties_decided)
    found = _settled(net, chosen, by_prices, ties_decided)
    return found._replace(status="best_found", bound=short.whole)


def _propose_prices(net: Net, weights: Sequence[int]) -> Sequence[float]:
    """Return a price for each account, by the linear program without whole legs."""
    rows = []
    for account, legs in enumerate(net.legs_of_account):
        factors = {leg: -dict(net.changes[leg])[account] for leg in legs}
        rows.append((factors, net.balances[account]))
    return find_row_prices(weights, rows, NEEDED_FOR)
