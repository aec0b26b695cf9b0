"""The answer about a net in words, for a person: plain text, 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from msgspec import UNSET

from finops_cli.domain.cusip import PATTERN, is_valid
from finops_cli.files.terminal import printable
from finops_cli.net.answers import (
    AllTried,
    Elimination,
    NetAnswer,
    Order,
    Prices,
    Residual,
    Route,
    SolverWord,
    Step,
)
from finops_cli.net.legs import CASH
from finops_cli.net.words import count_of, describe_amount, describe_bare, join_names

if TYPE_CHECKING:
    from finops_cli.net.legs import Net
    from finops_cli.net.solve import Solved

_WIDTH = 79
_SHOWN = 5
"""Cycles, steps and asks that the summary shows."""


def render_net(solved: Solved, net: Net, notes: Sequence[str] = ()) -> str:
    """Say what settles, why no more does, and what to ask. `notes` follow the first sentence."""
    lines: list[str] = []
    for text in _sentences(solved, net, notes):
        indent = "  " if text.startswith("  ") else ""
        lines += wrap(
            printable(text.strip()), _WIDTH, initial_indent=indent,
            subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)


def _sentences(solved: Solved, net: Net, notes: Sequence[str]) -> Iterator[str]:
    answer = solved.answer
    yield _headline(answer, net)
    yield from notes
    yield from _doubt_assets(net)
    for route in answer.cycles[:_SHOWN]:
        yield f"  {_describe_route(route)}"
    if len(answer.cycles) > _SHOWN:
        yield f"  and {len(answer.cycles) - _SHOWN:,} more cycles and chains"
    yield from _describe_proof(answer)
    if answer.ties_open and answer.status != "best_found":
        yield (
            "Equal sets were not all compared before the effort ended: another one may settle more"
            " by the second objective, or earlier legs (kb: net.effort)."
        )
    if answer.ask is not UNSET:
        for ask in answer.ask[:_SHOWN]:
            yield f"  {ask.says}"
        if solved.asks > _SHOWN:
            yield f"  and {solved.asks - _SHOWN:,} more; the answer lists {len(answer.ask):,}"


def _headline(answer: NetAnswer, net: Net) -> str:
    legs = len(net.legs)
    how = "in whole or in part" if answer.mode == "partial" else "together"
    every = count_of(legs, "leg")
    settled = f"{answer.count:,} of {every} {'settles' if answer.count == 1 else 'settle'} {how}"
    if answer.count:
        settled += f": {_describe_worth(answer, net)}"
    if answer.status == "deadlock":
        return f"Deadlock: {'the leg cannot' if legs == 1 else f'none of the {every} can'} settle."
    if answer.status == "undecided":
        start = f"Undecided: no set of the legs ({legs:,}) was found that settles"
        return f"{start}, and none is excluded. {_OFFER}"
    if answer.status == "best_found":
        reached = answer.value if answer.objective == "value" else answer.count
        return (
            f"{settled}. This is the best set that was found, with the {answer.objective}"
            f" {reached:,}; no set has more than {answer.bound:,}. {_OFFER}"
        )
    if answer.status == "own_view":
        start = f"The view of {answer.own}: "
        return start + (f"{settled}." if answer.count else "its legs alone net nothing.")
    return f"{settled}."


def _describe_worth(answer: NetAnswer, net: Net) -> str:
    """Sum the cash of the settled legs, and the shares of those without cash."""
    legs = {leg.id: leg for leg in net.legs}
    cash = sum(
        each.qty if legs[each.id].asset == CASH else legs[each.id].cash for each in answer.settles
    )
    shares = sum(
        each.qty
        for each in answer.settles
        if not legs[each.id].cash and legs[each.id].asset != CASH
    )
    parts = [count_of(shares, "share")] if shares else []
    return " and ".join([*parts, *([describe_amount(cash, CASH)] if cash else [])])


_OFFER = "More effort may help (kb: net.effort); --mode partial is exact for one security."


def _doubt_assets(net: Net) -> Iterator[str]:
    """Name assets that look like a CUSIP whose check digit is wrong: two spellings do not net."""
    assets = sorted({leg.asset for leg in net.legs})
    wrong = [asset for asset in assets if re.search(PATTERN, asset) and not is_valid(asset)]
    if wrong:
        yield f"Not a CUSIP by its check digit, taken as it is: {join_names(wrong)}."


def _describe_route(route: Route) -> str:
    way = [*route.parties, route.parties[0]] if route.kind == "cycle" else route.parties
    shown = way if len(way) <= _SHOWN + 1 else [*way[:_SHOWN], f"{len(way) - _SHOWN} more"]
    amount = describe_amount(route.qty, route.asset)
    return f"{route.kind} of {amount}: {' -> '.join(shown)} ({join_names(route.obligations)})"


def _describe_proof(answer: NetAnswer) -> Iterator[str]:
    proof = answer.proof
    if isinstance(proof, Elimination):
        yield f"Proof in {count_of(len(proof.steps), 'step')}:"
        for step in proof.steps[:_SHOWN]:
            yield f"  {_describe_step(step)}"
        if len(proof.steps) > _SHOWN:
            yield f"  and {len(proof.steps) - _SHOWN:,} more steps"
    elif isinstance(proof, Order):
        yield (
            f"Proof: everybody owes only to later parties of the list {join_names(proof.parties)},"
            " and nobody who owes holds anything."
        )
    elif isinstance(proof, Prices | SolverWord):
        yield from _describe_prices(proof, answer)
    elif isinstance(proof, AllTried):
        yield f"Proof: all {proof.sets:,} sets were tried."
    elif isinstance(proof, Residual):
        yield "Proof: no leg with shares left can settle more of them (net.proof)."


def _describe_prices(proof: Prices | SolverWord, answer: NetAnswer) -> Iterator[str]:
    if isinstance(proof, Prices) and not proof.prices and answer.status != "best_found":
        yield "Proof: these are all legs."
        return
    number = count_of(len(proof.prices), "price")
    verb = "prove" if len(proof.prices) != 1 else "proves"
    text = f"{number} {verb} that no set is worth more than {proof.bound.partition('.')[0]}."
    if isinstance(proof, SolverWord):
        yield f"{proof.name} {proof.version} says that none is better; {text}"
    elif answer.status != "best_found":
        yield f"Proof: {text}"


def _describe_step(step: Step) -> str:
    if step.account is not UNSET and step.needs is not UNSET and step.at_most is not UNSET:
        party, asset = step.account
        return (
            f"{step.dead} cannot settle: {party} needs {describe_amount(step.needs, asset)} for it"
            f" and can hold at most {describe_bare(step.at_most, asset)}."
        )
    return f"{step.dead} cannot settle: that it settles leads to a contradiction."
