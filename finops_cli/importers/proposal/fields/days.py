"""Decide which columns give dates, and their format where the values prove it."""

from __future__ import annotations

import re
from datetime import date

from finops_cli.importers.dates import find_overlap, parse_date
from finops_cli.importers.proposal.columns import Column
from finops_cli.importers.proposal.draft import Draft, count, short_name, show_values
from finops_cli.importers.proposal.fields.names import AS_OF, SETTLEMENT, TRADE
from finops_cli.importers.proposal.values.date_formats import DateColumn, find_formats, read_date

_FIELDS = (TRADE, SETTLEMENT, AS_OF)
_SATURDAY = 5
_ISO_FORMS = {10: "%Y-%m-%d", 8: "%Y%m%d"}
_WEAK = "the header may mean another date than the contractual settlement date"
_WEAK_AS_OF = "is this the day for which the file was made?"


def decide_dates(draft: Draft) -> None:
    """Propose trade date, settlement date and the day of the data."""
    chosen: list[tuple[str, Column, DateColumn, bool]] = []
    for field in (TRADE, SETTLEMENT, AS_OF):
        for column, _, is_weak in draft.candidates(field, lambda _: True):
            found = find_formats(column.filled, draft.kb.imports.date_formats)
            if found.is_date or not is_weak:
                chosen.append((field, column, found, is_weak))
                draft.taken[column.index] = ""
                break
    proven = {found.formats[0] for _, _, found, _ in chosen if len(found.formats) == 1}
    asked: list[tuple[str, Column, DateColumn]] = []
    for field, column, found, is_weak in chosen:
        usable = [each for each in found.formats if each in proven] or list(found.formats)
        if found.fault:
            draft.notes[column.index] = found.fault
            _ask_column(draft, field, column, found.fault)
        elif len(usable) > 1:
            asked.append((field, column, found))
        elif usable and (other := _contradicts(draft, usable[0])):
            why = f"{usable[0]} of its cells and {other} of another column exclude each other"
            draft.notes[column.index] = why
            _ask_column(draft, field, column, why, "write both columns in one format")
        else:
            _propose(draft, field, column, found, usable[0] if usable else "", is_weak=is_weak)
    if asked:
        _ask(draft, asked)
    _write_iso(draft)


def _propose(
    draft: Draft, field: str, column: Column, found: DateColumn, form: str, *, is_weak: bool
) -> None:
    if not form:
        why = f"dates such as {column.filled[0]}"
    elif len(found.formats) > 1:
        why = f"another column of the file proves {form}"
    elif found.proof:
        why = f"{form}: only this format reads {found.proof!r}"
    else:
        why = f"dates such as {column.filled[0]!r}, {form}"
    if form and form not in draft.date_formats:
        draft.date_formats.append(form)
        draft.date_why = draft.date_why or f"column {column.name!r}: {why}"
    doubts = [_WEAK_AS_OF if field == AS_OF else _WEAK] if is_weak else []
    if found.unread:
        rows = count(len(found.unread), "row")
        doubts.append(f"no date in {show_values(found.unread)}: {rows} would be refused")
    draft.propose(field, column, why, check="; ".join(doubts))
    draft.taken[column.index] = field


def _ask_column(draft: Draft, field: str, column: Column, why: str, *choices: str) -> None:
    """Ask for a date whose column cannot be read.

    A settlement date is required then: an age that is counted from another date would be another.
    """
    draft.ask(field, f"column {column.name!r}: {why}", *choices, is_required=field == SETTLEMENT)


def _contradicts(draft: Draft, form: str) -> str:
    """Return a format of the mapping that reads some dates of `form` too; empty if none does."""
    others = [each for each in draft.date_formats if each != form]
    return next((each for each in others if find_overlap([each, form])), "")


def _write_iso(draft: Draft) -> None:
    """Where a format is given, ISO dates of other columns need theirs too."""
    if not draft.date_formats:
        return
    for column in draft.columns:
        if draft.taken.get(column.index) in _FIELDS:
            days = [re.split("[ T]", text)[0] for text in column.untyped if read_date(text, None)]
            draft.date_formats += [
                form
                for length in sorted({len(day) for day in days})
                if (form := _ISO_FORMS[length]) not in draft.date_formats
                and not _contradicts(draft, form)
            ]


def _ask(draft: Draft, asked: list[tuple[str, Column, DateColumn]]) -> None:
    """List dates whose day and month nothing separates, with the reading of each format."""
    formats = list(asked[0][2].formats)
    example = asked[0][1].filled[0]
    why = f"day and month of {show_values(asked[0][1].filled)} cannot be told apart"
    choices = []
    for form in formats:
        off = sum(
            date.fromisoformat(read).weekday() >= _SATURDAY
            for _, column, _ in asked
            for text in column.filled
            if (read := read_date(text, form))
        )
        hint = f"; {count(off, 'date')} would be a Saturday or Sunday" if off else ""
        choices.append(f'csv: {{dates: "{form}"}}  # {example} is {read_date(example, form)}{hint}')
    lines = [f"{short_name(field)}: {column.name}" for field, column, _ in asked]
    for _, column, _ in asked:
        draft.notes[column.index] = "day and month are not decided; see what is missing"
    draft.ask(
        ", ".join(short_name(field) for field, _, _ in asked),
        f"{why}. Choose one format, and add under columns: {'; '.join(lines)}",
        *choices,
        is_required=any(field == SETTLEMENT for field, _, _ in asked),
    )


def iso_days(draft: Draft, field: str) -> list[date | None]:
    """Return the dates of a proposed field, one for each row; None where a cell has none."""
    place = next((place for place, taken in draft.taken.items() if taken == field), None)
    if place is None:
        return []
    days: list[date | None] = []
    for text in draft.columns[place].texts:
        reads = (read_date(text[:10] if form is None else text, form) for form in _forms(draft))
        read = next((each for each in reads if each), None)
        days.append(date.fromisoformat(parse_date(read)) if read else None)
    return days


def _forms(draft: Draft) -> list[str | None]:
    return [*draft.date_formats, None]
