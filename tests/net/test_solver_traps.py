"""The traps of solvers that were found (decision 23): each stays shut."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import finops_cli
from finops_cli.errors import Unfinished, UsageError
from finops_cli.kb.chapters.net import NetRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.legs import Balance, make_net
from finops_cli.net.solve import solve_net
from finops_cli.solvers import cp_sat
from tests.support.nets import CUSIP, best_whole, draw_balances, draw_legs, leg

RULES = NetRules(
    objective="value", enumerate_upto=0, enumerate_part_upto=4, effort=10, proof_steps=100, asks=10
)


def test_no_row_of_a_model_is_conditional() -> None:
    """Rule: conditional rows are slow or unsolved at large amounts, so no model has one."""
    sources = Path(finops_cli.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if "only_enforce_if" in path.read_text().casefold()]
    assert found == []


@pytest.mark.slow
def test_known_problem_is_solved_right() -> None:
    """Rule: the installed release finds the optimum of the known problem, time after time."""
    pytest.importorskip("ortools")
    for _ in range(3):
        assert cp_sat.find_fault.__wrapped__() is None


@pytest.mark.slow
def test_wrong_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a solver that calls a wrong optimum proved is not used.

    Release 9.15 with its own default settings is such a solver.
    """
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    if cp_sat.read_version() != "9.15.6755":
        pytest.skip("another release may be right by default")

    by_default = cp_model.CpSolver().parameters.presolve_inclusion_work_limit

    class ByDefault(cp_model.CpSolver):
        def solve(self, model: object) -> object:
            self.parameters.presolve_inclusion_work_limit = by_default
            return super().solve(model)

    monkeypatch.setattr(cp_model, "CpSolver", ByDefault)
    cp_sat.find_fault.cache_clear()
    try:
        with pytest.raises(Unfinished, match="does not find the optimum"):
            cp_sat.open_cp_sat()
    finally:
        cp_sat.find_fault.cache_clear()


@pytest.mark.slow
def test_capacity_is_exact_to_one_share() -> None:
    """Rule: at 10**12, one share too many does not settle, and one fewer does."""
    pytest.importorskip("ortools")
    top = 10**12
    for extra, settled in ((0, 12), (1, 11)):
        parts = [top // 12 - place for place in range(11)]
        parts.append(top - sum(parts) + extra)
        legs = [leg(f"o{place}", "A", "B", qty) for place, qty in enumerate(parts)]
        answer = solve_net(make_net(legs, [Balance("A", CUSIP, top)]), "whole", "count", RULES)
        assert answer.answer.count == settled


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_large_amounts_settle_the_best_of_all_sets(seed: int, kb: KnowledgeBase) -> None:
    """Rule: amounts beyond 2**31 and 2**53 give the optimum of trying every set."""
    pytest.importorskip("ortools")
    draw = Random(seed)
    most = draw.choice((2**31, 10**12, 10**15))
    legs = draw_legs(draw, 12, 3, ("X",), most, most)
    balances = draw_balances(draw, legs, most)
    answer = solve_net(make_net(legs, balances), "whole", "value", RULES).answer
    assert [each.id for each in answer.settles] == best_whole(legs, balances, "value")
    assert answer.value == sum(each.cash or each.qty for each in legs if each.id in
                               {one.id for one in answer.settles})  # fmt: skip


@pytest.mark.slow
def test_sum_beyond_64_bits_is_refused() -> None:
    """Rule: what the solver cannot count is an error that names the account, not a wrong answer."""
    pytest.importorskip("ortools")
    legs = [leg(f"o{n}", "A", "B", 10**15) for n in range(5000)]
    with pytest.raises(UsageError, match="counts in 64 bits"):
        solve_net(make_net(legs, [Balance("A", CUSIP, 10**15)]), "whole", "value", RULES)
