"""Solve a net, and say what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from finops_cli.errors import UsageError
from finops_cli.kb.chapters.net import NetRules
from finops_cli.net.answers import AllTried, NetAnswer, Prices, Residual, SettledLeg, SolverWord
from finops_cli.net.legs import Balance, Leg, Mode, Net, Objective, make_net
from finops_cli.net.own_view import list_asks
from finops_cli.net.partial import solve_partial
from finops_cli.net.whole import Found, solve_whole
from finops_cli.net.witness import list_after, list_alone, list_routes
from finops_cli.net.words import write_proposal


class Solved(NamedTuple):
    """The answer, and what a person should know beside it."""

    answer: NetAnswer
    asks: int
    """The legs that an own view could ask for; the answer has the first of them."""


def open_net(legs: list[Leg], balances: list[Balance], mode: Mode) -> Net:
    """Make the net of a mode. In the mode partial, cash does not limit: it is left out.

    Raises UsageError for a partial net of several assets.
    """
    if mode == "whole":
        return make_net(legs, balances)
    assets = sorted({leg.asset for leg in legs})
    if len(assets) > 1:
        raise UsageError(
            f"--mode partial is for one security; the legs have {len(assets)}:"
            f" {', '.join(assets[:5])}{', ...' if len(assets) > 5 else ''}",
            "give the legs of one security, or leave --mode partial out",
        )
    return make_net([replace(leg, cash=0) for leg in legs], balances)


def solve_net(
    net: Net, mode: Mode, objective: Objective, rules: NetRules, own: str | None = None
) -> Solved:
    """Find the best set that settles, or the proof that none does. `own`: a party (own view).

    Raises MissingPiece where a solver is needed that is not installed.
    """
    found = solve_partial(net) if mode == "partial" else solve_whole(net, objective, rules)
    quantities = found.quantities
    asks = [] if own is None else list_asks(net, own, quantities)
    answer = NetAnswer(
        status=found.status if own is None else "own_view",
        mode=mode,
        objective=objective,
        own=UNSET if own is None else own,
        settles=[SettledLeg(net.legs[leg].id, qty) for leg, qty in quantities.items()],
        count=len(quantities),
        value=sum_value(net, quantities),
        alone=list_alone(net, quantities),
        cycles=list_routes(net, quantities),
        after=list_after(net, quantities),
        ask=UNSET if own is None else asks[: rules.asks],
        bound=UNSET if found.bound is None else found.bound,
        ties_open=bool(found.quantities) and not found.ties_decided,
        proof=found.proof if own is None else _proof_of_view(found),
        proposal=write_proposal(net, quantities),
    )
    return Solved(answer, len(asks))


def sum_value(net: Net, quantities: Mapping[int, int]) -> int:
    """Return what the settled legs are worth (kb: `net.objective`); parts count their shares."""
    weights = net.weights("value")
    return sum(weights[leg] if qty == net.legs[leg].qty else qty for leg, qty in quantities.items())


def _proof_of_view(found: Found) -> AllTried | Prices | Residual | SolverWord | None:
    """An own view proves that no more of the legs settles, never that there is a deadlock."""
    kinds = (AllTried, Prices, Residual, SolverWord)
    return found.proof if found.quantities and isinstance(found.proof, kinds) else None
