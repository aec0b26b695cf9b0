"""Which fails with a least partial are served, by CP-SAT, level after level."""

from __future__ import annotations

from typing import Any, NamedTuple

from finops_cli.book.allocation.groups import Groups
from finops_cli.book.allocation.levels import NAMES, levels_of_arc
from finops_cli.book.certificates import Unproved
from finops_cli.solvers.cp_sat import minimise, open_cp_sat

_BITS = 30
"""Fails whose service one objective decides: its weights stay far below the solver's limits."""


class Decision(NamedTuple):
    """The fail groups that are served, and the level that was not proved."""

    served: tuple[int, ...]
    bound: Unproved | None = None


def decide_served(groups: Groups, effort: int) -> Decision:
    """Decide who is served. `effort`: deterministic seconds for each level.

    Raises MissingPiece without OR-tools.
    """
    problem = _Problem(groups, effort)
    for place, name in enumerate(NAMES):
        problem.minimise_level(problem.level(place), name)
    if groups.kept:
        problem.minimise_level(problem.moved(), "moved")
    chosen = [problem.is_served[a] for a in groups.with_least]
    for first in range(0, len(chosen), _BITS):
        block = chosen[first : first + _BITS]
        weights = [2 ** (len(block) - 1 - place) for place in range(len(block))]
        terms = [(-weight, each) for weight, each in zip(weights, block, strict=True)]
        problem.minimise_level(terms, "served")
    return Decision(problem.list_served(), problem.bound)


Terms = list[tuple[int, Any]]
"""Factors and variables of a linear sum."""


class _Problem:
    """The model of one pool between groups, and its best solution so far."""

    def __init__(self, groups: Groups, effort: int) -> None:
        self._groups = groups
        self._effort = effort
        self._model = open_cp_sat().CpModel()
        self._variables: list[Any] = []
        self._place: dict[int, int] = {}
        self._best: tuple[int, ...] = ()
        self.bound: Unproved | None = None
        self._got = {
            (b, a): self._variable(min(groups.sources[b].qty, groups.fails[a].owed))
            for b, a in groups.late
        }
        self._uncovered = [self._variable(group.owed) for group in groups.fails]
        self.is_served = {a: self._variable(1) for a in groups.with_least}
        self._stay = {
            pair: self._variable(qty) for pair, qty in groups.kept.items() if pair in self._got
        }
        self._add_rows()

    def level(self, place: int) -> Terms:
        """Return the sum of a level of the ladder."""
        arcs: list[tuple[int | None, int, Any]] = [
            (None, a, each) for a, each in enumerate(self._uncovered)
        ]
        arcs += [(b, a, each) for (b, a), each in self._got.items()]
        return [(1, each) for b, a, each in arcs if place in levels_of_arc(self._groups, b, a)]

    def moved(self) -> Terms:
        """Return minus the shares that stay where they were sent."""
        return [(-1, each) for each in self._stay.values()]

    def minimise_level(self, terms: Terms, name: str) -> None:
        """Minimise a sum, and keep it at its best value from then on."""
        if not terms:
            return
        total = sum(factor * each for factor, each in terms)
        self._model.clear_hints()
        for each, value in zip(self._variables, self._best, strict=False):
            self._model.add_hint(each, value)
        found = minimise(self._model, total, self._variables, self._effort)
        if found.status == "infeasible":
            raise AssertionError("CP-SAT finds no solution where nobody is served")
        if found.values:
            self._best = found.values
        elif not self._best:
            self._best = self._serve_nobody()
        value = sum(factor * self._value(each) for factor, each in terms)
        if found.status != "optimal" and self.bound is None:
            lowest = found.bound if found.values else sum(f for f, _ in terms if f < 0)
            self.bound = Unproved(name, lowest)
        self._model.add(total <= value)

    def list_served(self) -> tuple[int, ...]:
        """List the fail groups with a least partial that get shares."""
        return tuple(a for a, each in self.is_served.items() if self._value(each))

    def _variable(self, most: int) -> Any:
        made = self._model.new_int_var(0, most, "")
        self._place[made.index] = len(self._variables)
        self._variables.append(made)
        return made

    def _value(self, variable: Any) -> int:
        return self._best[self._place[variable.index]]

    def _serve_nobody(self) -> tuple[int, ...]:
        """Return the solution that is always possible: every fail is uncovered."""
        values = dict.fromkeys(range(len(self._variables)), 0)
        for group, each in zip(self._groups.fails, self._uncovered, strict=True):
            values[self._place[each.index]] = group.owed
        return tuple(values.values())

    def _add_rows(self) -> None:
        add, groups = self._model.add, self._groups
        for b, source in enumerate(groups.sources):
            add(sum(each for (given, _), each in self._got.items() if given == b) <= source.qty)
        for a, group in enumerate(groups.fails):
            got = sum(each for (_, taker), each in self._got.items() if taker == a)
            add(got + self._uncovered[a] == group.owed)
            if a in self.is_served:
                served = self.is_served[a]
                add(got >= group.least * served)
                add(got <= group.owed * served)
        for pair, each in self._stay.items():
            add(each <= self._got[pair])
