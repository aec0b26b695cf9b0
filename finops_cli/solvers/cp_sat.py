"""CP-SAT of OR-tools, with the settings under which its optima are true (extra `net`).

With its default settings, CP-SAT 9.15 calls wrong optima proved where amounts add up beyond 2**31
(google/or-tools issue 5293). Linear rows, one worker and no work on inclusions in presolve avoid
it; a known problem of this kind is solved before the first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from math import ceil
from types import ModuleType
from typing import Any, Literal, NamedTuple

from finops_cli import extras
from finops_cli.errors import MissingPiece, Unfinished

Status = Literal["optimal", "feasible", "infeasible", "unknown"]
_LINEARIZATION = 2
_SELF_TEST_EFFORT = 10
_BOOK = "this many fails with a least partial in one security"


class Outcome(NamedTuple):
    """The answer to one model."""

    status: Status
    values: tuple[int, ...]
    """The values of the variables that were asked for; empty without a solution."""
    bound: int
    """A whole number that no solution goes below (when minimising)."""
    effort: float = 0
    """The deterministic seconds that it took."""


def open_cp_sat(needed_for: str = _BOOK) -> ModuleType:
    """Import CP-SAT and test it. Raises MissingPiece with the command that installs it.

    `needed_for` is what needs it, in the plural. Raises Unfinished for a release that gives a wrong
    optimum of the known problem.
    """
    model = _import(needed_for)
    fault = find_fault()
    if fault is not None:
        raise Unfinished(fault, f"install another release of OR-tools: {extras.cure('net')}")
    return model


def minimise(model: Any, objective: Any, asked: Sequence[Any], effort: float) -> Outcome:
    """Minimise `objective` over a model of linear rows.

    `effort`: most deterministic seconds; `asked`: the variables whose values are returned.
    """
    cp_model = _import()
    model.minimize(objective)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.linearization_level = _LINEARIZATION
    solver.parameters.presolve_inclusion_work_limit = 0
    solver.parameters.max_deterministic_time = effort
    solver.parameters.catch_sigint_signal = False  # an interrupt ends finops, not the search alone
    status = _solve(solver, model)
    names: dict[int, Status] = {
        cp_model.OPTIMAL: "optimal",
        cp_model.FEASIBLE: "feasible",
        cp_model.INFEASIBLE: "infeasible",
        cp_model.UNKNOWN: "unknown",
    }
    if status not in names:
        raise AssertionError(f"CP-SAT refuses the model: {model.validate()}")
    name = names[status]
    used = float(solver.response_proto.deterministic_time)
    if name not in ("optimal", "feasible"):
        return Outcome(name, (), 0, used)
    values = tuple(int(solver.value(each)) for each in asked)
    return Outcome(name, values, ceil(solver.best_objective_bound), used)


def _solve(solver: Any, model: Any) -> Any:
    """Solve in a thread, so that an interrupt stops the search at once."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(solver.solve, model)
        try:
            return found.result()
        except BaseException:
            solver.stop_search()
            raise


def read_version() -> str:
    """Return the release of OR-tools that is installed."""
    return version("ortools")


@cache
def find_fault() -> str | None:
    """Solve the known problem; return a sentence where the answer is wrong, else None.

    Raises MissingPiece without OR-tools.
    """
    cp_model = _import()
    model = cp_model.CpModel()
    legs = [model.new_int_var(0, 1, "") for _ in _LEGS]
    changes: dict[tuple[str, str], list[Any]] = {}
    for chosen, (giver, taker, qty, cash) in zip(legs, _LEGS, strict=True):
        for account, amount in (
            ((giver, "X"), -qty),
            ((taker, "X"), qty),
            ((taker, "CASH"), -cash),
            ((giver, "CASH"), cash),
        ):
            changes.setdefault(account, []).append(amount * chosen)
    for account, terms in changes.items():
        model.add(sum(terms) + _BALANCES[account] >= 0)
    weights = [cash or qty for _, _, qty, cash in _LEGS]
    value = sum(weight * chosen for weight, chosen in zip(weights, legs, strict=True))
    found = minimise(model, -1 * value, legs, _SELF_TEST_EFFORT)
    settled = {place for place, chosen in enumerate(found.values) if chosen}
    if found.status == "optimal" and settled == _SETTLES:
        return None
    return "this release of OR-tools (CP-SAT) does not find the optimum of a known problem"


def _import(needed_for: str = _BOOK) -> ModuleType:
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise MissingPiece(f"{needed_for} need OR-tools", extras.cure("net")) from error
    module: ModuleType = cp_model
    return module


_LEGS = (
    ("p0", "p2", 1000000000001, 172437317831),
    ("p1", "p2", 1999999999999, 308148682621),
    ("p1", "p0", 1000000000000, 0),
    ("p0", "p2", 1999999999999, 563319560344),
    ("p2", "p0", 704974099641, 0),
    ("p1", "p2", 1000000000000, 0),
    ("p2", "p0", 607143630789, 377919031197),
    ("p0", "p2", 1999999999999, 786828976533),
    ("p1", "p0", 1999999999999, 438899437121),
    ("p2", "p0", 807006951173, 535416458749),
)
"""The giver and the taker of each leg, its shares of X, and the cash that is paid for them."""
_BALANCES = {
    ("p0", "X"): 790630908448,
    ("p0", "CASH"): 970404346411,
    ("p1", "X"): 0,
    ("p1", "CASH"): 0,
    ("p2", "X"): 719449487557,
    ("p2", "CASH"): 338334978185,
}
_SETTLES = {4, 6, 7, 9}
"""The legs of the best set that settles: 2,405,138,566,120 in all."""
