"""Prices of a linear program, by GLOP of OR-tools (extra `net`). They are floating-point numbers:
whoever uses them rounds them and evaluates what they prove exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from finops_cli import extras
from finops_cli.errors import MissingPiece


def find_row_prices(
    weights: Sequence[int], rows: Iterable[tuple[Mapping[int, int], int]], needed_for: str
) -> list[float]:
    """Maximise the sum of weights times variables between 0 and 1; return the price of each row.

    `rows`: the factors of a row by variable, and the most that its sum may be (0 or more).
    Returns an empty list where GLOP finds no optimum. Raises MissingPiece without OR-tools.
    """
    try:
        from ortools.linear_solver import pywraplp
    except ImportError as error:
        raise MissingPiece(f"{needed_for} need OR-tools", extras.cure("net")) from error
    solver = pywraplp.Solver.CreateSolver("GLOP")
    top = max(weights, default=1)
    variables = [solver.NumVar(0, 1, "") for _ in weights]
    objective = solver.Objective()
    for variable, weight in zip(variables, weights, strict=True):
        objective.SetCoefficient(variable, weight / top)
    objective.SetMaximization()
    made = []
    for factors, most in rows:
        scale = max(map(abs, factors.values()), default=1)
        row = solver.Constraint(-solver.infinity(), most / scale)
        for place, factor in factors.items():
            row.SetCoefficient(variables[place], factor / scale)
        made.append((row, top / scale))
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return []
    return [row.dual_value() * factor for row, factor in made]
