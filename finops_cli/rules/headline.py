"""The headline: one thing to do, from the triage, the plan and the clock (kb: `headline.*`).

Domain specification, section 10. The first row that fits decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET, Struct

from finops_cli.domain.clock import Clock, Obligation
from finops_cli.domain.headline import By, FailSummary, Headline
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.wording.headline import HeadlineRow, HeadlineRules

_RECEIPTS = ("CHASE_FTR", "NET_GRIDLOCK")
_DUE = ("due_today", "breached")
_REG_SHO = "SHO-"
_PURCHASE = ("purchase",)


class _Cover(Struct, frozen=True, kw_only=True):
    """The shares of a plan by the way that they come."""

    box: int
    netted: int
    in_hand: int
    """From the box and netted."""
    chased: int
    """Asked of counterparties, or proposed to them for netting."""
    has_chase: bool
    is_gridlock: bool
    depot: int
    cash: int
    left: int
    """The shares that the steps leave; recall and borrow in parallel exceed them together."""


def make_headline(
    fail: FailSummary,
    triage: Triage,
    plan: Resolution | None,
    clock: Clock | None,
    rules: HeadlineRules,
) -> Headline:
    """Return the headline of a fail whose triage stands. `plan` None: stage 2 does not apply."""
    is_netted, is_disputed = triage.lifecycle_state == "OFFSET", triage.category == "DK_DISPUTE"
    by = None if is_netted or is_disputed else _due(triage, clock)
    sentence = _Sentence(fail, triage, by, clock, rules)
    if is_netted or is_disputed:
        return sentence.say(rules.rows["offset" if is_netted else "dispute"], fail.qty)
    if plan is not None:
        return _of_plan(sentence, plan)
    if triage.cns_direction == "FTR":
        begun = _may_buy_in(triage, clock)
        return sentence.say(rules.rows["buy_in_notice" if begun else "chase_receive"], fail.qty)
    return sentence.say(rules.triage[triage.action], fail.qty)


def _of_plan(sentence: _Sentence, plan: Resolution) -> Headline:
    """Return the headline of a fail with a plan; the first row that fits."""
    rules, owed = sentence.rules, sentence.fail.qty
    cover = _cover(plan, owed)
    if cover.cash:
        return sentence.say(rules.rows["cash"], owed)
    if cover.in_hand >= owed:
        return sentence.say(rules.rows["deliver"], owed, hand=_hand(cover, rules))
    if cover.in_hand:
        return sentence.say(
            rules.rows["deliver_part"],
            cover.in_hand,
            part=_shares(cover.in_hand),
            rest=_shares(owed - cover.in_hand),
            hand=_hand(cover, rules),
            next=next(_name_sources(cover, plan, rules)),
        )
    if sentence.must_close_out:
        name = "purchase" if _must_buy(sentence.clock) else "close_out"
        return sentence.say(rules.rows[name], owed)
    if cover.is_gridlock:
        parties = _parties(plan.gridlock_parties, rules)
        part = cover.chased
        return sentence.say(rules.rows["net"], part, part=_shares(part), parties=parties)
    if cover.chased >= owed:
        parties = _chased_parties(plan, rules)
        return sentence.say(rules.rows["chase"], owed, parties=parties)
    sources = list(_name_sources(cover, plan, rules))
    if plan.residual_short == 0:
        kind, qty = _first_own_source(cover, plan)
        row = HeadlineRow(action=rules.source_actions[kind], text=rules.sources_text)
        return sentence.say(row, qty, sources=", then ".join(sources))
    known = sources[:-1]
    meanwhile = rules.phrases["meanwhile"].format(sources=", then ".join(known)) if known else ""
    rest = plan.residual_short
    return sentence.say(rules.rows["escalate"], rest, rest=_shares(rest), meanwhile=meanwhile)


class _Sentence:
    """Fills the places of a row's sentence."""

    def __init__(
        self,
        fail: FailSummary,
        triage: Triage,
        by: By | None,
        clock: Clock | None,
        rules: HeadlineRules,
    ) -> None:
        self.fail, self.triage, self.by, self.clock, self.rules = fail, triage, by, clock, rules
        self.must_close_out = _must_close_out(triage, clock)

    def say(self, row: HeadlineRow, qty: int, **places: str) -> Headline:
        """Return the headline of `row`. `places`: texts of places that the fail does not fill."""
        fail, phrases = self.fail, self.rules.phrases
        text = row.text.format(
            security=self._security(),
            qty=_shares(fail.qty),
            counterparty=fail.counterparty_name or fail.counterparty,
            tail=phrases["tail"] if self.must_close_out else "",
            by=self._by(),
            **places,
        )
        return Headline(row.action, qty, self.by, text)

    def _security(self) -> str:
        fail, phrases = self.fail, self.rules.phrases
        security = fail.cusip if fail.symbol is None else f"{fail.symbol} ({fail.cusip})"
        if self.triage.category != "CA_EVENT":
            return security
        if fail.new_cusip is UNSET:
            return phrases["security_event"].format(security=security)
        return phrases["security_new"].format(security=security, new=fail.new_cusip)

    def _by(self) -> str:
        by = self.by
        return "" if by is None else _write_by(by, self._is_late(by), self.rules)

    def _is_late(self, by: By) -> bool:
        if by.date is None:
            return self.fail.age_days > int(by.rule.removeprefix("T+"))
        return self.clock is not None and by.date < self.clock.as_of[:10]


def _write_by(by: By, is_late: bool, rules: HeadlineRules) -> str:
    name = "overdue" if is_late else "by"
    name += "_clock" if by.basis == "clock" else "_card" if by.date is None else "_card_date"
    return rules.phrases[name].format(date=by.date, rule=by.rule)


def _shares(qty: int) -> str:
    return "1 share" if qty == 1 else f"{qty:,} shares"


def _due(triage: Triage, clock: Clock | None) -> By | None:
    """Return the binding date of the clock, else the card's deadline."""
    if clock is not None and clock.binding is not None and clock.binding_due is not None:
        return By(clock.binding_due, "clock", clock.binding)
    if triage.deadline is None:
        return None
    return By(None if clock is None else clock.card.date, "card", triage.deadline)


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


def _cover(plan: Resolution, owed: int) -> _Cover:
    shares: dict[str, int] = {}
    covered = 0
    for step in plan.resolution_steps:
        shares[step.action] = shares.get(step.action, 0) + step.qty
        covered += step.qty
    box, netted = shares.get("APPLY_BOX", 0), shares.get("OFFSET_FTR", 0)
    return _Cover(
        box=box,
        netted=netted,
        in_hand=box + netted,
        chased=shares.get("CHASE_FTR", 0) + shares.get("NET_GRIDLOCK", 0),
        has_chase="CHASE_FTR" in shares,
        is_gridlock="NET_GRIDLOCK" in shares,
        depot=shares.get("DEPOT_MOVEMENT", 0),
        cash=shares.get("SPO_SETTLEMENT", 0),
        left=owed - covered,
    )


def _hand(cover: _Cover, rules: HeadlineRules) -> str:
    name = "both" if cover.box and cover.netted else "box" if cover.box else "netted"
    return rules.phrases[name]


def _name_sources(cover: _Cover, plan: Resolution, rules: HeadlineRules) -> Iterator[str]:
    """Name the sources behind what is in hand, in the order of the plan; last what has none."""
    phrases = rules.phrases
    if cover.is_gridlock:
        yield phrases["net"].format(qty=_shares(cover.chased))
    elif cover.has_chase:
        party = _chased_parties(plan, rules)
        yield phrases["chase"].format(party=party, qty=_shares(cover.chased))
    if cover.depot:
        yield phrases["depot"].format(qty=_shares(cover.depot))
    words = {"INITIATE_RECALL": "recall", "SOURCE_BORROW": "borrow"}
    if plan.fallback_strategy != "NONE":
        phrase = phrases[words[plan.fallback_strategy]]
        yield phrase.format(qty=_shares(plan.fallback_qty))
    if plan.secondary_fallback != "NONE":
        together = plan.fallback_qty + plan.secondary_fallback_qty
        phrase = phrases["beside" if together > cover.left else "borrow"]
        yield phrase.format(qty=_shares(plan.secondary_fallback_qty))
    if plan.residual_short:
        yield phrases["escalate"].format(qty=_shares(plan.residual_short))


def _first_own_source(cover: _Cover, plan: Resolution) -> tuple[str, int]:
    if cover.depot:
        return "depot", cover.depot
    if plan.fallback_strategy == "INITIATE_RECALL":
        return "recall", plan.fallback_qty
    return "borrow", plan.fallback_qty


def _chased_parties(plan: Resolution, rules: HeadlineRules) -> str:
    """Name the counterparties of the chase steps; an aggregated step has several."""
    chased = [step.dtc for step in plan.resolution_steps if step.action in _RECEIPTS]
    named = list(dict.fromkeys([dtc for dtc in chased if dtc is not None]))
    return _parties(named, rules, plan.additional_ftrs_chased)


def _parties(named: Sequence[str], rules: HeadlineRules, more: int = 0) -> str:
    """Write the first names, and how many there are beside."""
    shown, rest = ", ".join(named[: rules.names]), len(named[rules.names :]) + more
    return rules.phrases["others"].format(party=shown, count=rest) if rest else shown
