"""The headline: one thing to do, from the triage, the plan and the clock (kb: `headline.*`).

Domain specification, section 10. The first row that fits decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import UNSET, Struct

from finops_cli.domain.clock import Clock, Obligation
from finops_cli.domain.headline import By, FailSummary, Headline
from finops_cli.domain.money import render_quantity
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.wording.headline import HeadlineRow, HeadlineRules
from finops_cli.rules.deadlines import parse_t_plus

_RECEIPTS = frozenset({"CHASE_FTR", "NET_GRIDLOCK"})
_DUE = ("due_today", "breached")
_REG_SHO = "SHO-"
_PURCHASE = ("purchase",)

Places = dict[str, str]
"""The texts of the places of a sentence."""


class _Cover(Struct, frozen=True):
    """The shares of the steps of a plan."""

    shares: dict[str, int]
    """By action."""
    chased: int
    """Asked of counterparties, or proposed to them for netting."""
    parties: list[str]
    """The counterparties that are asked, each once."""


def make_headline(
    fail: FailSummary,
    triage: Triage,
    plan: Resolution | None,
    clock: Clock | None,
    rules: HeadlineRules,
) -> Headline:
    """Return the headline of a fail whose triage stands. `plan` None: stage 2 does not apply."""
    must_close_out = _must_close_out(triage, clock)
    places = {
        "security": _name_security(fail, triage, rules),
        "qty": _shares(fail.qty),
        "counterparty": fail.counterparty_name or fail.counterparty,
        "tail": rules.words["tail"] if must_close_out else "",
        "by": "",
    }
    by, qty = None, fail.qty
    if triage.lifecycle_state == "OFFSET":
        row = rules.rows["offset"]
    elif triage.category == "DK_DISPUTE":
        row = rules.rows["dispute"]
    else:
        by, places["by"] = _find_due(fail, triage, clock, rules)
        if plan is not None:
            row, qty = _of_plan(plan, qty, places, must_close_out, clock, rules)
        elif triage.cns_direction == "FTR":
            row = rules.rows["buy_in_notice" if _may_buy_in(triage, clock) else "chase_receive"]
        else:
            row = rules.triage[triage.action]
    return Headline(row.action, qty, by, row.text.fill(places))


def _of_plan(
    plan: Resolution,
    owed: int,
    places: Places,
    must_close_out: bool,
    clock: Clock | None,
    rules: HeadlineRules,
) -> tuple[HeadlineRow, int]:
    """Return the first row that fits a plan, and its shares. Its own texts go into `places`."""
    cover = _cover(plan)
    shares = cover.shares
    if shares.get("SPO_SETTLEMENT"):
        return rules.rows["cash"], owed
    box, netted = shares.get("APPLY_BOX", 0), shares.get("OFFSET_FTR", 0)
    in_hand = box + netted
    places["hand"] = rules.words["both" if box and netted else "box" if box else "netted"]
    if in_hand >= owed:
        return rules.rows["deliver"], owed
    if in_hand:
        places["part"], places["rest"] = _shares(in_hand), _shares(owed - in_hand)
        places["next"] = next(_name_sources(plan, owed, cover, rules))
        return rules.rows["deliver_part"], in_hand
    if must_close_out:
        return rules.rows["purchase" if _must_buy(clock) else "close_out"], owed
    if "NET_GRIDLOCK" in shares:
        places["part"] = _shares(cover.chased)
        places["parties"] = _parties(plan.gridlock_parties, rules)
        return rules.rows["net"], cover.chased
    if cover.chased >= owed:
        places["parties"] = _parties(cover.parties, rules, plan.additional_ftrs_chased)
        return rules.rows["chase"], owed
    return _of_sources(plan, owed, places, cover, rules)


def _of_sources(
    plan: Resolution, owed: int, places: Places, cover: _Cover, rules: HeadlineRules
) -> tuple[HeadlineRow, int]:
    """Return the row of a plan whose shares all have to be sourced, or have no source."""
    sources = list(_name_sources(plan, owed, cover, rules))
    rest = plan.residual_short
    if rest == 0:
        places["sources"] = ", then ".join(sources)
        kind, qty = _first_own_source(plan, cover)
        return rules.sources[kind], qty
    known = ", then ".join(sources[:-1])
    places["rest"] = _shares(rest)
    places["meanwhile"] = rules.phrases["meanwhile"].fill({"sources": known}) if known else ""
    return rules.rows["escalate"], rest


def _name_security(fail: FailSummary, triage: Triage, rules: HeadlineRules) -> str:
    security = fail.cusip if fail.symbol is None else f"{fail.symbol} ({fail.cusip})"
    if triage.category != "CA_EVENT":
        return security
    if fail.new_cusip is UNSET:
        return rules.phrases["security_event"].fill({"security": security})
    return rules.phrases["security_new"].fill({"security": security, "new": fail.new_cusip})


def _shares(qty: int) -> str:
    return "1 share" if qty == 1 else f"{render_quantity(qty)} shares"


def _find_due(
    fail: FailSummary, triage: Triage, clock: Clock | None, rules: HeadlineRules
) -> tuple[By | None, str]:
    """Return the binding date of the clock, else the card's deadline, with the words for it."""
    if clock is not None and clock.binding is not None and clock.binding_due is not None:
        is_late = clock.binding_due < clock.as_of[:10]
        return _write_due(clock.binding_due, "clock", clock.binding, is_late, rules)
    deadline = triage.deadline
    if deadline is None:
        return None, ""
    date = None if clock is None else clock.card.date
    if clock is None or date is None:
        is_late = fail.age_days > parse_t_plus(deadline)
    else:
        is_late = date < clock.as_of[:10]
    return _write_due(date, "card", deadline, is_late, rules)


@lru_cache
def _write_due(
    date: str | None,
    basis: Literal["clock", "card"],
    rule: str,
    is_late: bool,
    rules: HeadlineRules,
) -> tuple[By, str]:
    """Return a day and the words for it. The fails of a day have few days between them."""
    name = "overdue" if is_late else "by"
    name += "_clock" if basis == "clock" else "_card" if date is None else "_card_date"
    return By(date, basis, rule), rules.phrases[name].fill({"date": date or "", "rule": rule})


def _must_close_out(triage: Triage, clock: Clock | None) -> bool:
    if "REG_SHO_CLOSEOUT" in triage.flags:
        return True
    return clock is not None and any(_close_outs(clock))


def _must_buy(clock: Clock | None) -> bool:
    """Return true where a borrow does not close out: a duty that is due takes a purchase alone."""
    return clock is not None and any(each.remedy == _PURCHASE for each in _close_outs(clock))


def _close_outs(clock: Clock) -> Iterator[Obligation]:
    """Yield the duties of Regulation SHO that are due today or breached."""
    for each in clock.obligations:
        if each.kind == "duty" and each.state in _DUE and each.rule.startswith(_REG_SHO):
            yield each


def _may_buy_in(triage: Triage, clock: Clock | None) -> bool:
    """Return true where our right to buy in has begun."""
    if clock is None:
        return triage.action == "INITIATE_BUYIN"
    return any(
        right.holder == "ours"
        and right.earliest_notice_date is not None
        and right.earliest_notice_date <= clock.as_of[:10]
        for right in clock.rights
    )


def _cover(plan: Resolution) -> _Cover:
    shares: dict[str, int] = {}
    parties: list[str] = []
    chased = 0
    for step in plan.resolution_steps:
        action, qty = step.action, step.qty
        shares[action] = shares.get(action, 0) + qty
        if action in _RECEIPTS:
            chased += qty
            if step.dtc is not None:  # an aggregated step has several
                parties.append(step.dtc)
    if len(parties) > 1:
        parties = list(dict.fromkeys(parties))
    return _Cover(shares, chased, parties)


def _name_sources(
    plan: Resolution, owed: int, cover: _Cover, rules: HeadlineRules
) -> Iterator[str]:
    """Name the sources behind what is in hand, in the order of the plan; last what has none."""
    phrases, shares = rules.phrases, cover.shares
    if "NET_GRIDLOCK" in shares:
        yield phrases["net"].fill({"qty": _shares(cover.chased)})
    elif "CHASE_FTR" in shares:
        party = _parties(cover.parties, rules, plan.additional_ftrs_chased)
        yield phrases["chase"].fill({"party": party, "qty": _shares(cover.chased)})
    depot = shares.get("DEPOT_MOVEMENT")
    if depot:
        yield phrases["depot"].fill({"qty": _shares(depot)})
    if plan.fallback_strategy != "NONE":
        phrase = phrases[_WORDS[plan.fallback_strategy]]
        yield phrase.fill({"qty": _shares(plan.fallback_qty)})
    if plan.secondary_fallback != "NONE":
        together = plan.fallback_qty + plan.secondary_fallback_qty
        left = owed - sum(shares.values())  # recall and borrow in parallel exceed it together
        phrase = phrases["beside" if together > left else "borrow"]
        yield phrase.fill({"qty": _shares(plan.secondary_fallback_qty)})
    if plan.residual_short:
        yield phrases["escalate"].fill({"qty": _shares(plan.residual_short)})


_WORDS = {"INITIATE_RECALL": "recall", "SOURCE_BORROW": "borrow"}


def _first_own_source(plan: Resolution, cover: _Cover) -> tuple[str, int]:
    depot = cover.shares.get("DEPOT_MOVEMENT")
    if depot:
        return "depot", depot
    return _WORDS.get(plan.fallback_strategy, "borrow"), plan.fallback_qty


def _parties(named: Sequence[str], rules: HeadlineRules, more: int = 0) -> str:
    """Write the first names, and how many there are beside."""
    rest = more + max(0, len(named) - rules.names)
    if not rest:
        return ", ".join(named)
    shown = ", ".join(named[: rules.names])
    return rules.phrases["others"].fill({"party": shown, "count": str(rest)})
