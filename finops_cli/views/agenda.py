"""The agenda of the close-out clock, for a person at a terminal (regulatory-clock, section 13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby

from finops_cli.domain.clock import CostItem
from finops_cli.views.agenda_rows import (
    make_box_row,
    make_cost_row,
    make_due_row,
    make_preborrow_row,
    make_right_row,
    make_totals_rows,
)
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.entries import AgendaEntry, RejectedEntry
from finops_cli.views.selection import Due, Selection, list_confidences, select
from finops_cli.views.wording import CONFIDENCE_NOTES, clean, write_counts, write_day

_INDENT = len("Wed 2026-11-18 09:30  ")
"""Where the lines of a row go on: below its rule."""
_QUANTITY = 3
_NUMBERS = range(1, 7)
"""The columns of the totals that hold numbers."""


def render_agenda(
    entries: Iterable[AgendaEntry | RejectedEntry], as_of: date, within: int | None, width: int
) -> Iterator[str]:
    """Yield the lines of the agenda, without line ends.

    It shows each obligation that is breached, due today, or due within `within` calendar days from
    `as_of` (None: all), then penalty boxes, rights, costs and totals.
    """
    found = select(entries, as_of, within)
    yield from _render_head(found, width)
    yield from _render_due(found, width)
    yield from _render_boxes(found, width)
    yield from _render_rights(found, width)
    yield from _render_costs(found, width)
    yield from _render_totals(found, width)
    yield from _render_rejected(found, width)
    yield from _render_notes(found, width)


def _render_head(found: Selection, width: int) -> Iterator[str]:
    window = found.window
    span = f"due by {write_day(window.last)}" if window.last else "all due days"
    yield from fill_lines(f"Close-out agenda as of {write_day(window.first)}, {span}", width)
    shown = found.count_breached_duties("shown")
    if_short = found.count_breached_duties("if_short")
    late = found.count("shown") + found.count("if_short") - shown - if_short
    notices = f"; late notices: {late:,}" if late else ""
    yield from fill_lines(f"breached if short: {if_short:,}; shown: {shown:,}{notices}", width)
    yield from fill_lines(
        f"due today: {found.count('today'):,}; in the window: {found.count('window'):,};"
        f" later: {found.count('later'):,}; rejected: {len(found.rejected):,}",
        width,
    )
    yield from fill_lines(
        "Times are Eastern Time. Days are settlement days unless the line names others.", width
    )


def _render_due(found: Selection, width: int) -> Iterator[str]:
    first = found.window.first
    rows = {id(due): make_due_row(due, first) for group in found.due.values() for due in group}
    if not rows:
        yield ""
        yield "Nothing is breached, due today or due in the window."
        return
    columns = Columns(list(rows.values()), width, _INDENT, right={_QUANTITY})
    for title, dues in _list_sections(found):
        yield from _render_title(title, _write_count(dues), width)
        for due in dues:
            yield from columns.render(rows[id(due)])


def _list_sections(found: Selection) -> Iterator[tuple[str, Sequence[Due]]]:
    """Yield the sections of obligations that are not empty, each with its title."""
    fixed = (
        ("Breached, shown by the given facts", found.due["shown"]),
        ("Breached if short: the sale type was not given", found.due["if_short"]),
        ("Due today", found.due["today"]),
    )
    yield from ((title, dues) for title, dues in fixed if dues)
    for day, dues in groupby(found.due["window"], lambda due: due.obligation.due_date):
        yield f"Due {write_day(day)}" if day else "Due on a day that is not known", list(dues)


def _render_boxes(found: Selection, width: int) -> Iterator[str]:
    rows = [make_box_row(each) for each in found.boxes]
    rows += [make_preborrow_row(each) for each in found.preborrows]
    title = "Penalty boxes since the day shown: borrow before any short sale"
    yield from _render_section(title, rows, width, right={_QUANTITY})


def _render_rights(found: Selection, width: int) -> Iterator[str]:
    rows = [make_right_row(each) for each in found.rights]
    yield from _render_section("Rights that open in the window", rows, width)
    if found.open_rights and not rows:
        yield ""
    if found.open_rights:
        yield from fill_lines(f"Rights that opened before the window: {found.open_rights:,}", width)


def _render_costs(found: Selection, width: int) -> Iterator[str]:
    title = "Costs that begin: charges on capital or margin, not obligations"
    yield from _render_section(title, [make_cost_row(each) for each in found.costs], width)
    if found.costs_in_force:
        yield ""
        yield "Costs in force: charges on capital or margin, not obligations"
    for rule, costs in sorted(found.costs_in_force.items()):
        yield from fill_lines(f"{clean(rule)}  {_write_costs(costs)}", width, "  ")


def _write_costs(costs: Sequence[CostItem]) -> str:
    amounts = [cost.amount_usd for cost in costs if cost.amount_usd is not None]
    effective = sorted({cost.effective for cost in costs if cost.effective})
    counted = "fail" if costs[0].lot is None else "lot"
    parts = [f"{len(costs):,} {counted}{'' if len(costs) == 1 else 's'}"]
    if amounts:
        parts.append(f"estimate ${sum(amounts, Decimal(0)):,.2f}")
    return "; ".join([*parts, *map(clean, effective)])


def _render_totals(found: Selection, width: int) -> Iterator[str]:
    if found.totals:
        yield ""
        yield "Totals by rule"
        rows = list(make_totals_rows(found))
        columns = Columns(rows, width, indent=2, right=_NUMBERS)
        for row in rows:
            yield from columns.render(row)
    late = found.latest_card
    if late is not None:
        card = late.clock.card
        yield ""
        yield from fill_lines(
            f"The law's date binds. The card's T+N is later than it for {found.later_cards:,} of"
            f" {found.fails:,} fails, by at most {card.later_than_law_by} settlement days:"
            f" {clean(late.fail_id)}, law {_write_optional(late.clock.binding_due)},"
            f" card's {card.deadline} {_write_optional(card.date)}.",
            width,
        )
    if found.with_warnings:
        kinds = write_counts(found.warnings)
        yield from fill_lines(
            f"{found.with_warnings:,} of {found.fails:,} fails have warnings ({kinds}); the format"
            " jsonl lists them.",
            width,
        )


def _render_rejected(found: Selection, width: int) -> Iterator[str]:
    if found.rejected:
        yield from _render_title(
            "Rejected: these records have no dates", f"{len(found.rejected):,}", width
        )
    for each in found.rejected:
        name = "(no fail_id)" if each.fail_id is None else clean(each.fail_id)
        yield from fill_lines(f"{name}  {clean(each.message)}", width, "  ")


def _render_notes(found: Selection, width: int) -> Iterator[str]:
    """Yield a footnote for each kind of mark that the agenda holds, and the calendars."""
    used = set(list_confidences(found))
    notes = [note for confidence, note in CONFIDENCE_NOTES.items() if confidence in used]
    others = {
        f"or DAY by {clean(other['rule'])}: the due day for {clean(other['if'])}": None
        for dues in found.due.values()
        for due in dues
        for other in due.obligation.alternatives
        if {"if", "rule", "due_date"} <= set(other)
    }
    calendars = [f"Calendar {clean(calendar)}" for calendar in found.calendars]
    if notes or others or calendars:
        yield ""
    for note in (*sorted(others), *notes, *calendars):
        yield from fill_lines(note, width, "  ")


def _render_section(
    title: str, rows: Sequence[Row], width: int, right: Iterable[int] = ()
) -> Iterator[str]:
    if not rows:
        return
    yield from _render_title(title, f"{len(rows):,}", width)
    columns = Columns(rows, width, _INDENT, frozenset(right))
    for row in rows:
        yield from columns.render(row)


def _render_title(title: str, count: str, width: int) -> Iterator[str]:
    yield ""
    yield from fill_lines(f"{title} ({count})", width)


def _write_count(dues: Sequence[Due]) -> str:
    """Count the duties of a section, and its notices apart."""
    notices = sum(due.obligation.kind == "notice" for due in dues)
    return f"{len(dues) - notices:,}" + (f"; notices: {notices:,}" if notices else "")


def _write_optional(day: str | None) -> str:
    return write_day(day) if day else "not known"
