"""The `clock` block of a fail record (section 11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache

from finops_cli.clock.close_out import close_out_obligations
from finops_cli.clock.costs import cost_items
from finops_cli.clock.customer_protection import buy_in_rights, customer_duties
from finops_cli.clock.explain import add_days
from finops_cli.clock.facts import AsOf, Facts, read_facts
from finops_cli.clock.lots import by_age
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.moments import format_moment
from finops_cli.clock.penalty_box import notice_obligations, penalty_boxes
from finops_cli.clock.refusal import refuse_outside
from finops_cli.clock.replay import Replayed, replay
from finops_cli.clock.rule_204 import treated_as
from finops_cli.clock.scale import scale
from finops_cli.clock.threshold import threshold_duty
from finops_cli.domain.clock import STATES, CardDeadline, Clock, CostItem, Lot, Obligation, Right
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import Percent, RatePercent, Usd
from finops_cli.kb.chapters.clock import ClockRules

_BINDING = ("breached", "due_today", "running")
_RECEIPTS = ("customer_delivery", "receipt")
"""The types of event that cure a duty of 15c3-3."""
_ANY_CUSIP, _ANY_PARTY = "000000000", "DTC-0000"
_Dated = Obligation | Lot | Right | CostItem | CardDeadline
_LAST = "9999-99-99"
"""Sorts behind every date and time."""


def clock_block(
    record: FailRecord,
    as_of: AsOf,
    card_days: int | None,
    calendar: Calendar,
    rules: ClockRules,
    explain: bool = False,
) -> Clock:
    """The dates of the law for `record`. `card_days` is N of the card's T+N, None without one.

    Raises Refused for facts that the calendar or other facts contradict.
    """
    given = record.clock_facts
    try:
        if given is None or not (given.events or given.fail_history or given.lots):
            unit = _unit_record(record, rules)
            return scale(_unit_block(unit, as_of, card_days, calendar, rules, explain), record)
        return _block(record, as_of, card_days, calendar, rules, explain)
    except OutsideCalendar as error:
        raise refuse_outside("settlement_date", error) from error


def _unit_record(record: FailRecord, rules: ClockRules) -> FailRecord:
    """One share of the fail, with nothing but what the dates depend on."""
    is_treasury = record.cusip[: rules.issuer_characters] in rules.treasury_issuers
    return FailRecord(
        cusip=record.cusip if is_treasury else _ANY_CUSIP,
        side=record.side,
        qty=1,
        counterparty=_ANY_PARTY,
        age_days=record.age_days,
        market_value=Usd(0),
        cns_direction=record.cns_direction,
        reg_sho_threshold=record.reg_sho_threshold,
        inventory_coverage_pct=Percent(0),
        cp_fail_rate_pct=RatePercent(0),
        clock_facts=record.clock_facts,
    )


@lru_cache(maxsize=4096)
def _unit_block(
    unit: FailRecord,
    as_of: AsOf,
    card_days: int | None,
    calendar: Calendar,
    rules: ClockRules,
    explain: bool,
) -> Clock:
    """The block of one share: many fails share age, direction and facts."""
    return _block(unit, as_of, card_days, calendar, rules, explain)


def _block(
    record: FailRecord,
    as_of: AsOf,
    card_days: int | None,
    calendar: Calendar,
    rules: ClockRules,
    explain: bool,
) -> Clock:
    facts = read_facts(record, as_of, calendar, rules)
    found = replay(facts, calendar, rules)
    boxes = penalty_boxes(facts, found, calendar, rules)
    threshold, duties = threshold_duty(facts, found, calendar, rules)
    duties += [
        *close_out_obligations(facts, found, calendar, rules),
        *notice_obligations(facts, boxes, found, calendar, rules),
        *customer_duties(facts, found, calendar, rules),
    ]
    obligations = sorted(duties, key=_strictest_first)
    binding = _find_binding(obligations)
    due = None if binding is None else binding.due_date
    _warn_of_unused_filings(facts, found, obligations)
    lots = _open_lots(found)
    rights = tuple(buy_in_rights(facts, found, calendar, rules))
    costs = tuple(cost_items(facts, found, calendar, rules))
    card = _card(facts, card_days, due, calendar)
    _warn_of_new_closings(facts, [card, *obligations, *lots, *rights, *costs], calendar)
    return Clock(
        as_of=format_moment(as_of.moment),
        as_of_source=as_of.source,
        calendar=calendar.identity,
        trade_date=str(facts.trade_date),
        settlement_date=str(facts.settlement_date),
        settlement_date_basis=facts.basis,
        cycle=f"T+{facts.cycle_days}",
        sale_type=facts.sale_type,
        treated_as=treated_as(facts.sale_type),
        venue=facts.venue,
        lots=lots,
        obligations=tuple(add_days(obligations, calendar) if explain else obligations),
        binding=None if binding is None else binding.rule,
        binding_due=due,
        deadline_days=_days_to(due, as_of, calendar),
        penalty_boxes=tuple(boxes),
        threshold=threshold,
        rights=rights,
        costs=costs,
        card=card,
        assumptions=tuple(facts.assumptions),
        warnings=tuple(facts.warnings),
    )


def _warn_of_unused_filings(facts: Facts, found: Replayed, obligations: list[Obligation]) -> None:
    """Name the notices, extensions and receipts that no obligation takes."""
    taken = {name for each in obligations for name in each.remedy if name in _RECEIPTS}
    taken |= {each.rule for each in obligations if each.kind == "duty"}
    taken |= {each.rule for each in obligations if each.kind == "notice" and each.evidence}
    for event in found.events:
        given = event.given
        is_filing = given.type in ("extension", "notice")
        if not is_filing and given.type not in _RECEIPTS:
            continue
        if (given.rule if is_filing else given.type) not in taken:
            rule = f" under {given.rule}" if is_filing else ""
            facts.warnings.append(
                f"event.not_counted: {event.label} does not count: no duty{rule} takes it then"
            )


def _dates(shown: Iterable[_Dated]) -> Iterator[str | None]:
    """Yield each date that is counted on the calendar."""
    for each in shown:
        match each:
            case Obligation():
                yield each.due_date
                yield from (other["due_date"] for other in each.alternatives)
            case Lot():
                yield each.settlement_date
            case Right():
                yield each.earliest_execution_date
            case CostItem():
                yield each.from_date
            case CardDeadline():
                yield each.date


def _warn_of_new_closings(facts: Facts, shown: Iterable[_Dated], calendar: Calendar) -> None:
    """Warn if a date that is shown passes the day up to which closings are known."""
    dates = (str(facts.settlement_date), *_dates(shown))
    if any((day or "") > str(calendar.reviewed) for day in dates):
        facts.warnings.append(
            f"calendar.provisional: closings after {calendar.reviewed} are not known"
        )


def _days_to(due: str | None, as_of: AsOf, calendar: Calendar) -> int | None:
    if due is None:
        return None
    return calendar.count(as_of.day, date.fromisoformat(due), "settlement")


def _open_lots(found: Replayed) -> tuple[Lot, ...]:
    return tuple(
        Lot(str(lot.settlement), lot.open, lot.sale_type, lot.holder)
        for lot in by_age(found.lots)
        if lot.open
    )


def _strictest_first(obligation: Obligation) -> tuple[int, str, str, str, str, str]:
    return (
        STATES.index(obligation.state),
        obligation.due_date or _LAST,
        obligation.due_time or _LAST,
        obligation.rule,
        obligation.lot or _LAST,
        obligation.holder,
    )


def _find_binding(obligations: list[Obligation]) -> Obligation | None:
    duties = [each for each in obligations if each.kind == "duty" and each.state in _BINDING]
    return min(
        duties,
        key=lambda each: (each.due_date or _LAST, each.due_time or _LAST, each.rule),
        default=None,
    )


def _card(facts: Facts, card_days: int | None, due: str | None, calendar: Calendar) -> CardDeadline:
    """The card's T+N, counted in settlement days from the settlement date."""
    if card_days is None:
        return CardDeadline(None, None, None)
    deadline = f"T+{card_days}"
    if not facts.is_under("SHO") or facts.venue != "cns":
        return CardDeadline(deadline, None, None)
    day = facts.add_days(
        facts.settlement_date,
        card_days,
        "settlement",
        name=f"the card's {deadline}",
        calendar=calendar,
    )
    if day is None:
        return CardDeadline(deadline, None, None)
    later = None if due is None else calendar.count(date.fromisoformat(due), day, "settlement")
    return CardDeadline(deadline, str(day), later)
