"""Check the proofs of `finops net` without a solver (kb: `net.proof`, `net.bound`).

Nothing here is shared with the code that makes the proofs, except the arithmetic of a leg.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from msgspec import UNSET

from finops_cli.domain.finding import Finding
from finops_cli.kb.chapters.net import NetRules
from finops_cli.net.answers import (
    AllTried,
    Elimination,
    Order,
    Prices,
    Proof,
    Residual,
    SolverWord,
    Step,
)
from finops_cli.net.legs import Account, Leg, Objective, changes_of, order_of_id

PROOF, BOUND = "net.proof", "net.bound"
_FRACTION = re.compile(r"[0-9]{1,120}(\.[0-9]{1,40}|/(?!0+$)[0-9]{1,120})?")


@dataclass(frozen=True)
class Problem:
    """The legs in the order of their ids, and what each account holds."""

    legs: Sequence[Leg]
    balances: Mapping[Account, int]

    @cached_property
    def by_id(self) -> dict[str, Leg]:
        """The legs by their ids."""
        return {leg.id: leg for leg in self.legs}


class Claim(NamedTuple):
    """The claim of a proof: the quantities that settle, and how they are counted."""

    settled: Mapping[str, int]
    is_partial: bool
    objective: Objective
    rules: NetRules
    """How many legs, and how many of a part, every set is tried again of."""


def weigh(leg: Leg, objective: Objective) -> int:
    """Return the weight of a whole leg (kb: `net.objective`)."""
    return 1 if objective == "count" else leg.cash or leg.qty


def check_optimum(proof: Proof | None, problem: Problem, claim: Claim) -> list[Finding]:
    """Check that no set is better than the settled one."""
    if isinstance(proof, SolverWord):
        return [] if not claim.is_partial else [_refuse("a proof of the mode partial", proof)]
    if isinstance(proof, Residual) and claim.is_partial:
        return list(_check_residual(proof, problem, claim))
    if isinstance(proof, Prices) and not claim.is_partial:
        best = sum(weigh(problem.by_id[id], claim.objective) for id in claim.settled)
        return _check_reached(proof, problem, claim, best)
    if isinstance(proof, AllTried) and not claim.is_partial:
        return list(_check_all_tried(proof, problem, claim))
    return [_refuse("a proof that no set is better, of the mode", proof)]


def check_deadlock(proof: Proof | None, problem: Problem, claim: Claim) -> list[Finding]:
    """Check that no set settles."""
    if isinstance(proof, Elimination) and not claim.is_partial:
        return _check_elimination(proof, problem)
    if isinstance(proof, Order) and claim.is_partial:
        return list(_check_order(proof, problem))
    if isinstance(proof, AllTried) and not claim.is_partial:
        return list(_check_all_tried(proof, problem, claim))
    return [_refuse("a proof that no set settles, of the mode", proof)]


def check_prices(
    proof: Prices | SolverWord, problem: Problem, objective: Objective
) -> list[Finding]:
    """Check that the prices prove the bound that is stated with them."""
    bound = read_bound(proof, problem, objective)
    if isinstance(bound, Finding):
        return [bound]
    return (
        []
        if read_fraction(proof.bound) == bound
        else [make_finding(BOUND, "/proof/bound", str(bound), proof.bound)]
    )


def read_bound(
    proof: Prices | SolverWord, problem: Problem, objective: Objective
) -> Fraction | Finding:
    """Add up what the prices prove, exactly."""
    prices: dict[Account, Fraction] = {}
    for party, asset, text in proof.prices:
        price = read_fraction(text)
        if price is None or (party, asset) in prices:
            accepted = "prices of 0 or more, as fractions, one for an account"
            return make_finding(BOUND, "/proof/prices", accepted, [party, asset, text])
        prices[party, asset] = price
    total = sum(
        (price * problem.balances.get(account, 0) for account, price in prices.items()), Fraction(0)
    )
    for leg in problem.legs:
        gain = Fraction(weigh(leg, objective))
        gain += sum(prices[account] * change for account, change in changes_of(leg)
                    if account in prices)  # fmt: skip
        total += max(Fraction(0), gain)
    return total


def read_fraction(text: str) -> Fraction | None:
    """Read 964.53 or 11/7; None for other text. Exponents are refused: they cost too much."""
    if _FRACTION.fullmatch(text) is None:
        return None
    over, _, under = text.partition("/")
    return Fraction(over) / int(under or 1)


def _check_reached(proof: Prices, problem: Problem, claim: Claim, best: int) -> list[Finding]:
    found = check_prices(proof, problem, claim.objective)
    if found:
        return found
    most = floor_bound(proof)
    return [] if most == best else [make_finding(BOUND, "/proof/bound", best, proof.bound)]


def floor_bound(proof: Prices | SolverWord) -> int | None:
    """Return the whole number that no set exceeds, by the stated bound."""
    bound = read_fraction(proof.bound)
    return None if bound is None else bound.numerator // bound.denominator


def _check_all_tried(proof: AllTried, problem: Problem, claim: Claim) -> Iterator[Finding]:
    """Try every set again, and compare the best one."""
    size = len(problem.legs)
    parts, most = [list(problem.legs)], claim.rules.enumerate_upto
    if size > most:
        parts, most = _split(_leave_dead_out(problem)), claim.rules.enumerate_part_upto
    largest = max(map(len, parts), default=0)
    if largest > most:
        yield make_finding(PROOF, "/proof/kind", f"at most {most} legs", largest)
        return
    sets = sum(2 ** len(part) for part in parts)
    if proof.sets != sets:
        yield make_finding(PROOF, "/proof/sets", sets, proof.sets)
    found = [id for part in parts for id in _try_all(part, problem.balances, claim.objective)]
    best = sorted(found, key=order_of_id)
    if best != list(claim.settled):
        yield make_finding(PROOF, "/settles", best, list(claim.settled))


def _leave_dead_out(problem: Problem) -> list[Leg]:
    """Leave out the legs that cannot settle even with everything else coming in."""
    alive = list(problem.legs)
    while True:
        room = dict(problem.balances)
        for leg in alive:
            for account, change in changes_of(leg):
                room[account] = room.get(account, 0) + max(0, change)
        left = [
            leg
            for leg in alive
            if all(room[account] + min(0, change) >= 0 for account, change in changes_of(leg))
        ]
        if len(left) == len(alive):
            return left
        alive = left


def _split(legs: Sequence[Leg]) -> list[list[Leg]]:
    """Split legs into parts that share no account."""
    part_of: dict[Account, list[Leg]] = {}
    for leg in legs:
        joined = [leg]
        for account, _ in changes_of(leg):
            other = part_of.get(account, joined)
            if other is not joined:
                joined += other
                for each in other:
                    part_of.update((touched, joined) for touched, _ in changes_of(each))
            part_of[account] = joined
    parts = {id(part): part for part in part_of.values()}
    return [sorted(part, key=lambda leg: order_of_id(leg.id)) for part in parts.values()]


def _try_all(
    legs: Sequence[Leg], balances: Mapping[Account, int], objective: Objective
) -> list[str]:
    other: Objective = "count" if objective == "value" else "value"
    touched = {account for leg in legs for account, _ in changes_of(leg)}
    held = {account: balances.get(account, 0) for account in touched}
    chosen: list[str] = []
    best: tuple[int, int, list[str]] = (0, 0, [])

    def follow(place: int, first: int, second: int) -> None:
        nonlocal best
        if place == len(legs):
            # sets with the earlier legs come first, so an equal one does not replace the best
            if (first, second) > best[:2] and min(held.values(), default=0) >= 0:
                best = first, second, list(chosen)
            return
        leg = legs[place]
        chosen.append(leg.id)
        for account, change in changes_of(leg):
            held[account] += change
        follow(place + 1, first + weigh(leg, objective), second + weigh(leg, other))
        for account, change in changes_of(leg):
            held[account] -= change
        chosen.pop()
        follow(place + 1, first, second)

    follow(0, 0, 0)
    return best[2]


def _check_order(proof: Order, problem: Problem) -> Iterator[Finding]:
    place = {party: number for number, party in enumerate(proof.parties)}
    if len(place) != len(proof.parties):
        yield make_finding(PROOF, "/proof/parties", "each party once", proof.parties)
    for leg in problem.legs:
        if place.get(leg.giver, len(place)) >= place.get(leg.taker, -1):
            yield make_finding(PROOF, "/proof/parties", f"{leg.giver} before {leg.taker}", leg.id)
        held = problem.balances.get((leg.giver, leg.asset), 0)
        if held:
            yield make_finding(PROOF, "/proof/parties", f"nothing held by {leg.giver}", held)


def _check_residual(proof: Residual, problem: Problem, claim: Claim) -> Iterator[Finding]:
    potential = dict(proof.potentials)
    if len(potential) != len(proof.potentials) or any(each < 0 for each in potential.values()):
        yield make_finding(PROOF, "/proof/potentials", "0 or more, one for each party", None)
        return
    kept = dict(problem.balances)
    for leg in problem.legs:
        qty = claim.settled.get(leg.id, 0)
        kept[leg.giver, leg.asset] = kept.get((leg.giver, leg.asset), 0) - qty
        kept[leg.taker, leg.asset] = kept.get((leg.taker, leg.asset), 0) + qty
        gain = 1 + potential.get(leg.taker, 0) - potential.get(leg.giver, 0)
        if (qty < leg.qty and gain > 0) or (qty and gain < 0):
            yield make_finding(PROOF, f"/proof/potentials/{leg.id}", "0", gain)
    asset = problem.legs[0].asset
    for party, each in potential.items():
        if each and kept.get((party, asset), 0):
            yield make_finding(PROOF, f"/proof/potentials/{party}", 0, each)


class _Fault(Exception):
    """A step that is not right."""

    def __init__(self, expected: Any, actual: Any) -> None:
        super().__init__(str(expected))
        self.expected, self.actual = expected, actual


def _check_elimination(proof: Elimination, problem: Problem) -> list[Finding]:
    room = dict(problem.balances)
    for leg in problem.legs:
        for account, change in changes_of(leg):
            room[account] = room.get(account, 0) + max(0, change)
    alive = set(problem.by_id)
    try:
        is_contradicted = _follow(proof.steps, problem, alive, frozenset(), room)
    except _Fault as fault:
        return [make_finding(PROOF, "/proof/steps", fault.expected, fault.actual)]
    except RecursionError:
        return [make_finding(PROOF, "/proof/steps", "suppositions that can be followed", "deeper")]
    if is_contradicted:
        what = "a contradiction without a supposition"
        return [make_finding(PROOF, "/proof/steps", "steps that kill every leg", what)]
    if alive:
        left = min(alive, key=order_of_id)
        return [make_finding(PROOF, "/proof/steps", "a step for every leg", left)]
    return []


def _follow(
    steps: Sequence[Step],
    problem: Problem,
    alive: set[str],
    supposed: frozenset[str],
    room: dict[Account, int],
) -> bool:
    """Follow steps; returns true where they end in a contradiction. Changes `alive` and `room`.

    `room`: what an account can hold, with everything alive coming in and what is supposed going
    out. Raises _Fault for a step that is not right.
    """
    for step in steps:
        if step.contradiction is not UNSET:
            short = -room.get(step.contradiction, 0)
            if short <= 0 or step.short != short:
                raise _Fault(f"{step.contradiction} is short of {short}", step.short)
            return True
        leg = problem.by_id.get(step.dead) if step.dead is not UNSET else None
        if leg is None or leg.id not in alive or leg.id in supposed:
            raise _Fault("a leg that is alive and not supposed", _show(step.dead))
        if step.account is not UNSET:
            needs = -dict(changes_of(leg)).get(step.account, 0)
            at_most = room.get(step.account, 0)
            if not needs > at_most or (step.needs, step.at_most) != (needs, at_most):
                stated = f"{_show(step.needs)} of at most {_show(step.at_most)}"
                raise _Fault(f"{leg.id} needs {needs} of at most {at_most}", stated)
        elif step.suppose is not UNSET:
            inside = dict(room)
            for account, change in changes_of(leg):
                inside[account] += min(0, change)
            if not _follow(step.suppose, problem, set(alive), supposed | {leg.id}, inside):
                raise _Fault(f"a contradiction if {leg.id} settles", "none")
        else:
            raise _Fault("an account or a supposition", leg.id)
        alive.discard(leg.id)
        for account, change in changes_of(leg):
            room[account] -= max(0, change)
    return False


def _show(value: Any) -> Any:
    return None if value is UNSET else value


def _refuse(expected: str, proof: Proof | None) -> Finding:
    actual = None if proof is None else type(proof).__name__
    return make_finding(PROOF, "/proof", expected, actual)


def make_finding(rule: str, path: str, expected: Any, actual: Any) -> Finding:
    """Make a finding whose message has both values."""
    return Finding(
        rule=rule,
        path=path,
        expected=expected,
        actual=actual,
        message=f"{path[1:]} is {actual}. Expected {expected}.",
    )
