"""The best set of many legs by CP-SAT: the objective, then the other one, then earlier legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from finops_cli.errors import UsageError
from finops_cli.net.legs import Net
from finops_cli.solvers.cp_sat import Outcome, minimise, open_cp_sat

NEEDED_FOR = "nets of this many legs"
_BITS = 30
"""Legs that one objective puts in order: its weights stay far below the solver's limits."""
_KERNELS = (30, 60, 120, 240)
"""Free legs of a search near the prices."""
_KERNEL_EFFORT = 1
_LARGEST = 2**62
"""CP-SAT counts in 64 bits."""


class SolverPart:
    """Legs that share accounts, as a model of linear rows, and the best set so far."""

    def __init__(self, net: Net, legs: Sequence[int], effort: float) -> None:
        """`effort`: deterministic seconds for each level. Raises MissingPiece without OR-tools."""
        self.legs = legs
        self._full_effort = self._effort = effort
        self._model = open_cp_sat(NEEDED_FOR).CpModel()
        self._variable = {leg: self._model.new_int_var(0, 1, "") for leg in legs}
        self._chosen: set[int] = set()
        self._forced: set[int] = set()
        self._add_rows(net)

    @property
    def chosen(self) -> list[int]:
        """Return the legs of the best set so far, in order."""
        return sorted(self._chosen)

    def start_near(
        self, net: Net, weights: Sequence[int], reduced: Sequence[Fraction], enough: int
    ) -> None:
        """Look for a better set near what prices say, which is fast and often finds the best one.

        Only the legs whose reduced weight is near 0 are free: at first a few, then more. A value of
        `enough` ends the search.
        """
        by_doubt = sorted(self.legs, key=lambda leg: (abs(reduced[leg]), leg))
        for size in _KERNELS:
            fixed = [leg for leg in by_doubt[size:] if reduced[leg] > 0]
            effort = min(_KERNEL_EFFORT, self._full_effort)
            found = _search_among(net, sorted(by_doubt[:size]), fixed, weights, effort)
            value = sum(weights[leg] for leg in found)
            if value > sum(weights[leg] for leg in self._chosen):
                self._chosen = set(found)
            if size >= len(self.legs) or value >= enough:
                return

    def force(self, forced: Mapping[int, bool]) -> None:
        """Keep legs in (true) or out of every set that follows."""
        for leg in self._variable.keys() & forced.keys() - self._forced:
            self._model.add(self._variable[leg] == forced[leg])
            self._forced.add(leg)

    def improve(self, weights: Sequence[int], effort: float) -> bool:
        """Look for a better set; returns true where none is better than the best set now."""
        if sum(weights[leg] for leg in self.legs) >= _LARGEST:
            raise _too_large("the weights of the legs add up")
        if self._effort <= 0:
            return False
        objective = sum(weights[leg] * each for leg, each in self._variable.items())
        found = self._solve(objective, min(effort, self._effort))
        self._effort -= found.effort
        return found.status == "optimal"

    def keep(self, weights: Sequence[int]) -> None:
        """Keep the value of this level in the levels that follow."""
        objective = sum(weights[leg] * each for leg, each in self._variable.items())
        self._model.add(objective == sum(weights[leg] for leg in self._chosen))
        self._effort = self._full_effort

    @property
    def has_effort(self) -> bool:
        """Return true while the effort of this level is not used up."""
        return self._effort > 0

    def prefer_earlier(self) -> bool:
        """Of the best sets, find the one with the earlier legs; false where the effort ended."""
        rest = [leg for leg in self.legs if leg not in self._forced]
        while True:
            while rest and rest[0] in self._chosen:
                self._fix(rest.pop(0))
            if not rest:
                return True
            block, rest = rest[:_BITS], rest[_BITS:]
            weights = [2 ** (len(block) - 1 - place) for place in range(len(block))]
            terms = zip(weights, block, strict=True)
            objective = sum(weight * self._variable[leg] for weight, leg in terms)
            found = self._solve(objective, self._effort)
            self._effort -= found.effort
            if found.status != "optimal" or self._effort <= 0:
                return False
            for leg in block:
                self._fix(leg)

    def _fix(self, leg: int) -> None:
        self._model.add(self._variable[leg] == (leg in self._chosen))

    def _solve(self, objective: Any, effort: float) -> Outcome:
        self._model.clear_hints()
        for leg, each in self._variable.items():
            self._model.add_hint(each, leg in self._chosen)
        found = minimise(self._model, -1 * objective, list(self._variable.values()), effort)
        if found.status in ("optimal", "feasible"):
            values = zip(self._variable, found.values, strict=True)
            self._chosen = {leg for leg, value in values if value}
        return found

    def _add_rows(self, net: Net) -> None:
        rows: dict[int, list[tuple[int, int]]] = {}
        for leg in self.legs:
            for account, change in net.changes[leg]:
                rows.setdefault(account, []).append((change, leg))
        for account, terms in sorted(rows.items()):
            most = sum(-change for change, _ in terms if change < 0)
            if most + sum(change for change, _ in terms if change > 0) >= _LARGEST:
                party, asset = net.accounts[account]
                raise _too_large(f"the {asset} of {party} adds up")
            if most > net.balances[account]:  # else nothing can overdraw it
                total = sum(change * self._variable[leg] for change, leg in terms)
                self._model.add(total >= -net.balances[account])


def _search_among(
    net: Net, free: Sequence[int], fixed: Sequence[int], weights: Sequence[int], effort: float
) -> list[int]:
    """Return the best set of `fixed` and some of the free legs; empty where none settles."""
    inside = Net(net.legs, net.accounts, tuple(net.settle(fixed)), net.changes)
    touched = {account for leg in free for account, _ in net.changes[leg]}
    if any(held < 0 and account not in touched for account, held in enumerate(inside.balances)):
        return []
    part = SolverPart(inside, free, effort)
    part.improve(weights, effort)
    chosen = sorted([*fixed, *part.chosen])
    return chosen if net.settles(chosen) else []


def _too_large(what: str) -> UsageError:
    return UsageError(
        f"{what} to {_LARGEST:,} or more; the solver counts in 64 bits",
        "give the amounts in a larger unit, such as dollars in place of cents",
    )
