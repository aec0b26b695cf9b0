"""The dates of the law on the page of a fail: the binding date, the duties, the assumptions."""

from __future__ import annotations

from collections.abc import Iterator

from finops_cli.domain.clock import Clock, Obligation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.entries import count_open_shares
from finops_cli.views.fail_page.line import FailLine
from finops_cli.views.wording import (
    CONFIDENCE_NOTES,
    clean,
    write_day,
    write_days_left,
    write_moment,
    write_remedies,
)

_SHOWN = frozenset({"breached", "due_today", "running", "not_started"})
"""The states of duties that a desk can still act on."""
_HEAD = Row(("due", "rule", "shares", "remedy", "days left", "law"))
_WIDE = 100
"""Columns of a terminal from which a row has the citation too."""


def render_clock(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    """Yield the binding date, then each duty that is not done, then what was taken as a fact."""
    clock = line.clock
    if clock is None:
        if line.clock_skipped:
            yield f"  Not known: {clean(line.clock_skipped)}"
        return
    for text in list_sentences(clock):
        yield from fill_lines(f"  {text}", width, "    ")
    rows = [_HEAD, *map(write_duty, list_duties(clock))]
    if width < _WIDE:
        rows = [Row(row.cells[:-1]) for row in rows]
    if len(rows) > 1:
        table = Columns(rows, width - 2, indent=4, right={2})
        for row in rows:
            yield from (f"  {each}" for each in table.render(row))
    for text in list_notes(clock):
        yield from fill_lines(f"  {clean(text)}", width, "    ")


def list_duties(clock: Clock) -> list[Obligation]:
    """Return the duties that a desk can still act on."""
    return [each for each in clock.obligations if each.state in _SHOWN]


def list_sentences(clock: Clock) -> Iterator[str]:
    """Yield the moment, the binding date, and how the card's deadline compares with it."""
    moment = clock.as_of.removesuffix("T00:00").replace("T", " ")
    yield f"As of {moment}, settlement date {write_day(clock.settlement_date)}."
    if clock.binding_due is not None:
        yield f"Binding: {write_day(clock.binding_due)}, by {clock.binding}."
    later = clock.card.later_than_law_by
    if later and later > 0 and clock.card.date:
        yield (
            f"The card's {clock.card.deadline} ({write_day(clock.card.date)}) is {later:,}"
            f" settlement day{'' if later == 1 else 's'} later than the law."
        )


def write_duty(each: Obligation) -> Row:
    """Write a duty: the day, the rule, shares, remedy, days left, and the citation."""
    return Row(
        (
            write_moment(each.due_date, each.due_time),
            clean(each.rule),
            f"{count_open_shares(each):,}",
            write_remedies(each.remedy),
            write_days_left(each),
            clean(each.citation),
        )
    )


def list_notes(clock: Clock) -> Iterator[str]:
    """Yield what the dates rest on: penalty boxes, confidence, assumptions, warnings."""
    for box in clock.penalty_boxes:
        if box.preborrow_required:
            yield f"Short sales need a borrow first ({box.holder}): the close-out was missed."
    shown = {each.confidence for each in list_duties(clock)}
    yield from (CONFIDENCE_NOTES[each] for each in CONFIDENCE_NOTES if each in shown)
    yield from (f"Assumed: {each}." for each in clock.assumptions)
    yield from (f"Warning: {each}." for each in clock.warnings)
