"""Selects what an agenda shows: what is breached, due, or opens in the window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct

from finops_cli.domain.clock import (
    Clock,
    CostItem,
    Obligation,
    PenaltyBox,
    Right,
    Threshold,
    count_warnings,
)
from finops_cli.views.entries import (
    AgendaEntry,
    RejectedEntry,
    count_open_shares,
    holds_only_if_short,
    is_breached_only_if_short,
)

Group = Literal["shown", "if_short", "today", "window", "later"]
"""Breached by given facts, breached if short, due today, due in the window, due after it."""

_LAST = "9999-99-99"
"""Sorts after each day."""
_OPEN_BOXES = frozenset({"open", "closing"})


class Window(Struct, frozen=True):
    """The days of an agenda; `last` is None without a limit."""

    first: date
    last: date | None

    def has(self, day: str | None) -> bool:
        """True if `day` lies in the window."""
        return day is not None and date.fromisoformat(day) >= self.first and self.reaches(day)

    def reaches(self, day: str | None) -> bool:
        """True unless `day` lies after the window."""
        return day is None or self.last is None or date.fromisoformat(day) <= self.last


class Due(Struct, frozen=True):
    """An obligation of the agenda."""

    entry: AgendaEntry
    obligation: Obligation
    has_lots: bool
    """True if the fail has more than one lot, so that the lot has to be named."""


class Box(Struct, frozen=True):
    """An open penalty box."""

    entry: AgendaEntry
    box: PenaltyBox
    if_short: bool
    """True if no breach of the holder is shown by given facts."""


class Preborrow(Struct, frozen=True):
    """A fail whose threshold close-out is not done, so that each short sale needs a borrow."""

    entry: AgendaEntry
    threshold: Threshold
    duty: Obligation | None


class OpeningRight(Struct, frozen=True):
    """A right that opens in the window, on `day`."""

    entry: AgendaEntry
    right: Right
    day: str


class CostStep(Struct, frozen=True):
    """A cost that begins in the window."""

    entry: AgendaEntry
    cost: CostItem


class RuleTotals(Struct):
    """The counts of a rule: obligations by group, and the open shares of those that are shown."""

    counts: Counter[Group]
    shares: int = 0


@dataclass(eq=False, slots=True)
class Selection:
    """The parts of an agenda, in the order of the input until they are sorted."""

    window: Window
    due: dict[Group, list[Due]] = field(
        default_factory=lambda: {"shown": [], "if_short": [], "today": [], "window": []}
    )
    boxes: list[Box] = field(default_factory=list)
    preborrows: list[Preborrow] = field(default_factory=list)
    rights: list[OpeningRight] = field(default_factory=list)
    open_rights: int = 0
    """Rights that opened before the window."""
    costs: list[CostStep] = field(default_factory=list)
    costs_in_force: dict[str, list[CostItem]] = field(default_factory=dict)
    totals: dict[str, RuleTotals] = field(default_factory=dict)
    rejected: list[RejectedEntry] = field(default_factory=list)
    fails: int = 0
    with_warnings: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    """Warnings by kind."""
    later_cards: int = 0
    latest_card: AgendaEntry | None = None
    """The fail whose card is later than the law by the most days; the first of equals."""
    calendars: dict[str, None] = field(default_factory=dict)

    def count(self, group: Group) -> int:
        """The number of obligations in a group, notices included."""
        return sum(each.counts[group] for each in self.totals.values())

    def count_breached_duties(self, group: Literal["shown", "if_short"]) -> int:
        """The number of breached duties in a group, without notices."""
        return sum(each.obligation.kind == "duty" for each in self.due[group])


def select(
    entries: Iterable[AgendaEntry | RejectedEntry], as_of: date, within: int | None
) -> Selection:
    """Select and sort the parts of an agenda for `within` calendar days from `as_of`."""
    last = None if within is None else as_of + timedelta(min(within, (date.max - as_of).days))
    found = Selection(Window(as_of, last))
    for entry in entries:
        if isinstance(entry, RejectedEntry):
            found.rejected.append(entry)
        else:
            _add(found, entry)
    for due in found.due.values():
        due.sort(key=_order_due)
    found.boxes.sort(key=lambda each: (each.if_short, each.box.opened or _LAST))
    found.rights.sort(key=lambda each: (each.day, each.right.rule, each.entry.fail_id))
    found.costs.sort(key=lambda e: (e.cost.from_date or _LAST, e.cost.rule, e.entry.fail_id))
    return found


def _add(found: Selection, entry: AgendaEntry) -> None:
    clock = entry.clock
    found.fails += 1
    found.with_warnings += bool(clock.warnings)
    found.warnings += count_warnings(clock)
    calendar = clock.calendar
    found.calendars[f"{calendar.id}, sha256 {calendar.sha256}, overrides {calendar.overrides}"] = (
        None
    )
    for obligation in clock.obligations:
        _add_obligation(found, entry, obligation)
    found.boxes += (
        Box(entry, box, is_breached_only_if_short(clock, box.holder))
        for box in clock.penalty_boxes
        if box.state in _OPEN_BOXES
    )
    count = clock.threshold
    if count is not None and count.preborrow_required:
        duty = next((each for each in clock.obligations if each.rule == count.rule), None)
        found.preborrows.append(Preborrow(entry, count, duty))
    for right in clock.rights:
        _add_right(found, entry, right)
    for cost in clock.costs:
        if found.window.has(cost.from_date):
            found.costs.append(CostStep(entry, cost))
        if cost.in_force:
            found.costs_in_force.setdefault(cost.rule, []).append(cost)
    _add_card(found, entry)


def _add_obligation(found: Selection, entry: AgendaEntry, obligation: Obligation) -> None:
    group = _group(entry.clock, obligation, found.window)
    if group is None:
        return
    totals = found.totals.setdefault(obligation.rule, RuleTotals(Counter()))
    totals.counts[group] += 1
    if group == "later":
        return
    has_lots = len({each.lot for each in entry.clock.obligations} - {None}) > 1
    totals.shares += count_open_shares(obligation)
    found.due[group].append(Due(entry, obligation, has_lots))


def _group(clock: Clock, obligation: Obligation, window: Window) -> Group | None:
    if obligation.state == "breached":
        return "if_short" if holds_only_if_short(clock, obligation) else "shown"
    if obligation.state == "due_today":
        return "today"
    if obligation.state in ("running", "not_started"):
        return "window" if window.reaches(obligation.due_date) else "later"
    return None


def _add_right(found: Selection, entry: AgendaEntry, right: Right) -> None:
    days = [day for day in (right.earliest_notice_date, right.earliest_execution_date) if day]
    inside = [day for day in days if found.window.has(day)]
    if inside:
        found.rights.append(OpeningRight(entry, right, min(inside)))
    elif days and date.fromisoformat(max(days)) < found.window.first:
        found.open_rights += 1


def _add_card(found: Selection, entry: AgendaEntry) -> None:
    later = entry.clock.card.later_than_law_by or 0
    if later <= 0:
        return
    found.later_cards += 1
    known = found.latest_card
    if known is None or later > (known.clock.card.later_than_law_by or 0):
        found.latest_card = entry


def _order_due(due: Due) -> tuple[str, ...]:
    each = due.obligation
    return (
        *(each.due_date or _LAST, each.due_time or _LAST, each.rule, due.entry.fail_id),
        *(each.lot or "", each.holder),
    )


def list_confidences(found: Selection) -> Iterator[str]:
    """Yield the confidence of each line of the agenda."""
    yield from (each.obligation.confidence for due in found.due.values() for each in due)
    yield from (each.box.confidence for each in found.boxes)
    yield from (each.duty.confidence for each in found.preborrows if each.duty)
    yield from (each.right.confidence for each in found.rights)
    yield from (each.cost.confidence for each in found.costs)
    yield from (cost.confidence for costs in found.costs_in_force.values() for cost in costs)
