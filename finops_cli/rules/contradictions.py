"""Find the facts of one record that contradict each other (kb: `input.*`).

Dates are compared in `finops_cli.pipeline.inputs`, which knows the calendar.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.enums import Direction, Side
from finops_cli.domain.fail import FailRecord, Inventory
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.money import plain
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.bands import label_bands
from finops_cli.kb.chapters.input import InputRules
from finops_cli.kb.entries import Bands
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.derivation import SIDES, coverage_pct

_BANDS = "score.inventory_modifier"
_MEANING = {"FTD": "we owe the shares", "FTR": "the shares are owed to us"}
_SHORT_SALES = ("short", "short_exempt")


def side_agrees(side: Side, direction: Direction) -> bool:
    """True unless the CNS direction is of the other side. kb: `input.side_direction`."""
    return direction == "N_A" or SIDES[direction] == side


def side_problem(side: Side, direction: Direction, position: int | None) -> Problem:
    """Reject a side that is not the one of the direction.

    `position` is the CNS position that the direction was derived from, None for a given direction.
    """
    wanted = SIDES[direction]
    source = "" if position is None else f" (from cns_position {position})"
    cure = (
        f"side {wanted}, or the direction of side {side}: {'FTR' if side == 'Buy' else 'FTD'} or"
        " N_A"
    )
    message = (
        f"side is {side}, but cns_direction is {direction}{source}: {_MEANING[direction]};"
        f" accepted: {cure}"
    )
    return Problem(
        rule="input.side_direction", path="/side", value=side, accepted=cure, message=message
    )


def find_contradictions(fail: FailRecord, kb: KnowledgeBase) -> list[Finding]:
    """List the contradictions that the line of `fail` warns of, except those of dates."""
    found: list[Finding] = []
    inventory, direction = fail.inventory, fail.cns_direction
    if inventory is not None:
        found += _check_coverage(fail, inventory, kb)
    if direction == "N_A":
        if fail.cns_position:
            found.append(_position_outside_cns(fail.cns_position))
    elif not fail.cns_eligible:
        found.append(_not_eligible(direction))
    if fail.clock_facts is not None:
        found += _check_clock_facts(fail, fail.clock_facts)
    if fail.reg_sho_status == "THRESHOLD" and not fail.reg_sho_threshold:
        found.append(_no_threshold())
    kind = _exempt_kind(fail, kb.input)
    if kind is not None:
        found += _check_exempt(fail, kind, kb)
    return found


def find_case_contradictions(case: ResolverInput, kb: KnowledgeBase) -> list[Finding]:
    """List the contradictions of a resolver input: a Treasury security with a clock."""
    issuer = case.cusip[: kb.input.issuer_characters]
    if issuer not in kb.input.treasury_issuers:
        return []
    kind = _describe_issuer(case.cusip, issuer)
    direction, deadline = case.triage.cns_direction, case.triage.deadline
    if direction != "N_A":
        return [_exempt("/triage/cns_direction", direction, "N_A", kind)]
    return [] if deadline is None else [_exempt("/triage/deadline", deadline, None, kind)]


def _check_coverage(fail: FailRecord, inventory: Inventory, kb: KnowledgeBase) -> list[Finding]:
    """Compare the bands. The quotient may be rounded, as the derived coverage is."""
    table = kb.scoring.inventory_modifier
    band = table.index(fail.inventory_coverage_pct)
    exact = table.index(Decimal(inventory.box_qty * 100) / fail.qty)
    if band == exact:
        return []
    computed = coverage_pct(inventory.box_qty, fail.qty)
    if band == table.index(computed):
        return []
    stated = plain(fail.inventory_coverage_pct)
    message = (
        f"inventory_coverage_pct is {stated}, but inventory.box_qty {inventory.box_qty} of qty"
        f" {fail.qty} is {plain(computed)} %; agrees: a coverage"
        f" {_coverage_labels(kb)[exact]} %, or the box that gives {stated} %"
    )
    return [
        Finding(
            rule="input.coverage",
            path="/inventory_coverage_pct",
            expected=computed,
            actual=fail.inventory_coverage_pct,
            message=message,
        )
    ]


@lru_cache
def _coverage_labels(kb: KnowledgeBase) -> list[str]:
    entry = kb.entries[_BANDS]
    if isinstance(entry, Bands):
        return label_bands(entry)
    return [str(value) for value in kb.scoring.inventory_modifier.values]


def _not_eligible(direction: Direction) -> Finding:
    return Finding(
        rule="input.cns_eligible",
        path="/cns_eligible",
        expected=True,
        actual=False,
        message=(
            f"cns_eligible is false, but cns_direction is {direction}; agrees: cns_eligible true,"
            " or cns_direction N_A"
        ),
    )


def _position_outside_cns(position: int) -> Finding:
    direction = "FTD" if position < 0 else "FTR"
    return Finding(
        rule="input.cns_position",
        path="/cns_position",
        expected=None,
        actual=position,
        message=(
            f"cns_position is {position}, but cns_direction is N_A; agrees: no position, or"
            f" cns_direction {direction}"
        ),
    )


def _check_clock_facts(fail: FailRecord, facts: ClockFacts) -> list[Finding]:
    """Compare the venue with the direction, and the mark of a sale with the side."""
    found, direction = [], fail.cns_direction
    venue = "ex_clearing" if direction == "N_A" else "cns"
    if facts.venue not in (None, venue):
        other = "FTD or FTR" if direction == "N_A" else "N_A"
        message = (
            f"clock_facts.venue is {facts.venue}, but cns_direction is {direction}; agrees: venue"
            f" {venue}, or cns_direction {other}"
        )
        found.append(
            Finding(
                rule="input.venue",
                path="/clock_facts/venue",
                expected=venue,
                actual=facts.venue,
                message=message,
            )
        )
    if fail.side == "Buy" and facts.sale_type in _SHORT_SALES:
        message = (
            f"clock_facts.sale_type is {facts.sale_type}, but side is Buy; agrees: no sale_type,"
            " or side Sell"
        )
        found.append(
            Finding(
                rule="input.sale_type",
                path="/clock_facts/sale_type",
                expected=None,
                actual=facts.sale_type,
                message=message,
            )
        )
    return found


def _no_threshold() -> Finding:
    return Finding(
        rule="input.threshold",
        path="/reg_sho_threshold",
        expected=True,
        actual=False,
        message=(
            "reg_sho_threshold is false, but reg_sho_status is THRESHOLD; agrees:"
            " reg_sho_threshold true, or another status"
        ),
    )


def _exempt_kind(fail: FailRecord, rules: InputRules) -> str | None:
    """Say why the security is known to be exempt; None if it is not."""
    issuer = fail.cusip[: rules.issuer_characters]
    if issuer in rules.treasury_issuers:
        return _describe_issuer(fail.cusip, issuer)
    given = None if fail.clock_facts is None else fail.clock_facts.security_type
    return f"security_type is {given}" if given in rules.exempt_types else None


def _describe_issuer(cusip: str, issuer: str) -> str:
    return f"cusip {cusip} is a Treasury security (issuer {issuer})"


def _check_exempt(fail: FailRecord, kind: str, kb: KnowledgeBase) -> list[Finding]:
    """Warn of the first fact of Reg SHO or CNS that an exempt security cannot have."""
    if fail.cns_direction != "N_A":
        return [_exempt("/cns_direction", fail.cns_direction, "N_A", kind)]
    if fail.reg_sho_threshold:
        return [_exempt("/reg_sho_threshold", True, False, kind)]
    if fail.reg_sho_status not in (None, "NONE"):
        return [_exempt("/reg_sho_status", fail.reg_sho_status, "NONE", kind)]
    days = deadline_day(fail, kb.triage)
    return [] if days is None else [_exempt("/side", fail.side, None, kind, f"T+{days}")]


def _exempt(
    path: str, actual: object, expected: object, kind: str, deadline: str | None = None
) -> Finding:
    field = path.rpartition("/")[2]
    shown = {True: "true", None: "null"}.get(actual, actual)  # type: ignore[call-overload]
    agrees = {False: "false", None: "null"}.get(expected, expected)  # type: ignore[call-overload]
    if deadline is None:
        what = f"{field} is {shown}; agrees: {field} {agrees}, or an equity security"
    else:
        what = (
            f"{field} {shown} gives the Reg SHO deadline {deadline}, which does not apply; agrees:"
            " an equity security"
        )
    return Finding(
        rule="input.security_type",
        path=path,
        expected=expected,
        actual=actual,
        message=f"{kind}, but {what}",
    )
