"""Check an answer of `finops net` against its legs and balances, without a solver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from finops_cli.checking.net_proofs import (
    PROOF,
    Claim,
    Problem,
    check_deadlock,
    check_optimum,
    check_prices,
    floor_bound,
    make_finding,
)
from finops_cli.checking.verdicts import Verdict, finding_of
from finops_cli.domain import finding as domain
from finops_cli.domain.finding import Finding
from finops_cli.kb.chapters.net import NetRules
from finops_cli.net.answers import NetAnswer, Prices, Route, SolverWord
from finops_cli.net.legs import CASH, Balance, Leg, changes_of, make_net, order_of_id
from finops_cli.net.own_view import list_asks
from finops_cli.net.words import write_proposal
from finops_cli.pipeline.parse import decode

_SET, _OVERDRAWN, _SHAPE = "net.set", "net.overdrawn", "schema.shape"


def check_net_lines(
    lines: Iterable[bytes], legs: list[Leg], balances: list[Balance], rules: NetRules
) -> Iterator[Verdict]:
    """Check each line, which must be an answer about these legs."""
    for number, line in enumerate(lines, start=1):
        given = decode(line)
        if isinstance(given, domain.Problem):
            yield Verdict(number, ok=False, findings=[finding_of(given)])
            continue
        found = check_net(given, legs, balances, rules)
        notes = [_note(given)] if not found and _is_word(given) else UNSET
        yield Verdict(number, ok=not found, findings=found, notes=notes)


def check_net(
    given: Any, legs: list[Leg], balances: list[Balance], rules: NetRules
) -> list[Finding]:
    """List what is wrong with an answer."""
    try:
        answer = msgspec.convert(given, NetAnswer)
    except (msgspec.ValidationError, RecursionError) as error:
        return [make_finding(_SHAPE, "", "an answer of finops net", str(error))]
    is_partial = answer.mode == "partial"
    if is_partial:
        legs = [msgspec.structs.replace(leg, cash=0) for leg in legs]
        if len({leg.asset for leg in legs}) > 1:
            return [make_finding(_SET, "/mode", "legs of one asset", "legs of several")]
    ordered = sorted(legs, key=lambda leg: order_of_id(leg.id))
    problem = Problem(ordered, {(each.party, each.asset): each.qty for each in balances})
    found = list(_check_quantities(answer, problem))
    if found:
        return found
    settled = {each.id: each.qty for each in answer.settles}
    found = list(_check_set(answer, problem, settled))
    found += _check_own(answer, legs, balances, settled, rules)
    claim = Claim(settled, is_partial, answer.objective, rules)
    return [*found, *_check_status(answer, problem, claim)]


def _check_quantities(answer: NetAnswer, problem: Problem) -> Iterator[Finding]:
    ids = [each.id for each in answer.settles]
    for each in answer.settles:
        leg = problem.by_id.get(each.id)
        if leg is None:
            yield make_finding(_SET, "/settles", "a leg of the file", each.id)
        elif answer.mode == "whole" and each.qty != leg.qty:
            yield make_finding(_SET, f"/settles/{each.id}", leg.qty, each.qty)
        elif not 0 < each.qty <= leg.qty:
            yield make_finding(_SET, f"/settles/{each.id}", f"1 to {leg.qty}", each.qty)
    if ids != sorted(set(ids), key=order_of_id):
        yield make_finding(_SET, "/settles", "each leg once, in the order of the ids", ids)


def _check_set(
    answer: NetAnswer, problem: Problem, settled: Mapping[str, int]
) -> Iterator[Finding]:
    """Check what follows from the settled quantities by adding up."""
    after = Counter(problem.balances)
    touched: set[tuple[str, str]] = set()
    alone = []
    value = 0
    for id, qty in settled.items():
        leg = problem.by_id[id]
        part = msgspec.structs.replace(leg, qty=qty)
        changes = changes_of(part)
        for account, change in changes:
            after[account] += change
            touched.add(account)
        if all(problem.balances.get(account, 0) + change >= 0 for account, change in changes):
            alone.append(id)
        value += leg.cash or qty
    for party, asset in sorted(touched):
        if after[party, asset] < 0:
            path = f"/after/{party}/{asset}"
            yield make_finding(_OVERDRAWN, path, "0 or more", after[party, asset])
    expected = {
        "count": len(settled),
        "value": value,
        "alone": alone,
        "after": [(*account, after[account]) for account in sorted(touched)],
    }
    stated = {
        "count": answer.count,
        "value": answer.value,
        "alone": answer.alone,
        "after": [(each.party, each.asset, each.qty) for each in answer.after],
    }
    for name, right in expected.items():
        if stated[name] != right:
            yield make_finding(_SET, f"/{name}", right, stated[name])
    yield from _check_routes(answer.cycles, problem, settled)


def _check_routes(
    routes: Iterable[Route], problem: Problem, settled: Mapping[str, int]
) -> Iterator[Finding]:
    """Each route follows its legs, and all of them together are the set."""
    moves: dict[tuple[str, str, str, str], int] = {}
    for id, qty in settled.items():
        leg = problem.by_id[id]
        moves[id, leg.asset, leg.giver, leg.taker] = qty
        if leg.cash:
            moves[id, CASH, leg.taker, leg.giver] = leg.cash
    walked = Counter[tuple[str, str, str, str]]()
    for place, route in enumerate(routes):
        parties = [*route.parties, *(route.parties[:1] if route.kind == "cycle" else [])]
        if route.qty <= 0 or len(parties) != len(route.obligations) + 1 or len(parties) < 2:
            yield make_finding(_SET, f"/cycles/{place}", "a party between two legs", route.parties)
            return
        for id, giver, taker in zip(route.obligations, parties, parties[1:], strict=False):
            walked[id, route.asset, giver, taker] += route.qty
    if walked != moves:
        wrong = sorted(key for key in walked | moves if walked[key] != moves.get(key))
        id, asset, giver, taker = wrong[0]
        path = f"/cycles/{id}"
        right = f"{moves.get(wrong[0], 0)} of {asset} from {giver} to {taker}"
        yield make_finding(_SET, path, right, walked[wrong[0]])


def _check_own(
    answer: NetAnswer,
    legs: list[Leg],
    balances: list[Balance],
    settled: Mapping[str, int],
    rules: NetRules,
) -> Iterator[Finding]:
    """Check the words: proposals, and what an own view asks for."""
    net = make_net(legs, balances)
    quantities = {place: settled[leg.id] for place, leg in enumerate(net.legs) if leg.id in settled}
    proposal = write_proposal(net, quantities)
    if proposal != answer.proposal:
        yield make_finding(_SET, "/proposal", proposal, answer.proposal)
    is_view = answer.status == "own_view"
    if is_view != (answer.own is not UNSET) or is_view != (answer.ask is not UNSET):
        yield make_finding(_SET, "/own", "own and ask exactly with own_view", answer.status)
    elif answer.own is not UNSET and answer.ask is not UNSET:
        asks = list_asks(net, answer.own, quantities)[: rules.asks]
        if asks != answer.ask:
            yield make_finding(_SET, "/ask", [each.says for each in asks], len(answer.ask))


def _check_status(answer: NetAnswer, problem: Problem, claim: Claim) -> list[Finding]:
    proof = answer.proof
    found: list[Finding] = []
    if isinstance(proof, SolverWord | Prices) and not claim.is_partial:
        found = check_prices(proof, problem, claim.objective)
    if found:
        return found
    if (answer.status == "best_found") != (answer.bound is not UNSET):
        return [make_finding(PROOF, "/bound", "a bound exactly with best_found", answer.status)]
    has_set = bool(claim.settled)
    if answer.status in ("settles", "best_found") and not has_set:
        return [make_finding(PROOF, "/status", "a status without a set", answer.status)]
    if answer.status in ("deadlock", "undecided") and has_set:
        return [make_finding(PROOF, "/status", "a status with a set", answer.status)]
    if answer.status == "deadlock":
        return check_deadlock(proof, problem, claim)
    if answer.status == "settles" or (answer.status == "own_view" and has_set):
        return check_optimum(proof, problem, claim)
    if answer.status == "own_view" and proof is not None:
        return [make_finding(PROOF, "/proof", None, "a proof of the view of one party")]
    if answer.status == "best_found":
        return _check_best_found(answer, proof)
    return []


def _check_best_found(answer: NetAnswer, proof: Any) -> list[Finding]:
    reached = answer.count if answer.objective == "count" else answer.value
    if not isinstance(proof, Prices):
        return [make_finding(PROOF, "/proof", "prices", None)]
    most = floor_bound(proof)
    if most is None or answer.bound != most or reached >= most:
        return [make_finding("net.bound", "/bound", most, answer.bound)]
    return []


def _is_word(given: Any) -> bool:
    proof = given.get("proof") if isinstance(given, dict) else None
    return isinstance(proof, dict) and proof.get("kind") == "solver"


def _note(given: Any) -> Finding:
    name = given["proof"]["name"]
    return make_finding(PROOF, "/proof", "a proof that can be checked", f"the word of {name}")
