"""The ranked list for a person: a row of facts for each fail, and below it what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import islice
from typing import NamedTuple

from finops_cli.views.answers import Answer
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.paint import Paint, leave_plain
from finops_cli.views.wording import clean, read_day, write_day

_WIDE = 100
"""Columns of a terminal from which a row has counterparty, value and age too."""
_BLOCK = 500
"""Rows that are lined up together, so that a list of any length needs little memory."""


class Column(NamedTuple):
    """A column of a list."""

    title: str
    is_number: bool = False


COLUMNS: dict[str, Column] = {
    "tier": Column("tier"),
    "score": Column("score", is_number=True),
    "fail_id": Column("fail"),
    "security": Column("security"),
    "side": Column("side"),
    "qty": Column("shares", is_number=True),
    "counterparty": Column("counterparty"),
    "market_value": Column("value $", is_number=True),
    "age_days": Column("age", is_number=True),
    "due": Column("due"),
    "due_by": Column("by rule"),
    "days_left": Column("days left", is_number=True),
    "status": Column("status"),
    "category": Column("category"),
    "escalation": Column("escalate"),
    "action": Column("action"),
    "cusip": Column("cusip"),
    "symbol": Column("symbol"),
    "counterparty_name": Column("name"),
    "settlement_date": Column("settlement"),
    "warnings": Column("warnings", is_number=True),
    "assumed": Column("assumed"),
    "tone": Column("tone"),
    "what_to_do": Column("what to do"),
    "error": Column("error"),
    "place": Column("place", is_number=True),
    "of": Column("of", is_number=True),
    "uncovered": Column("uncovered", is_number=True),
    "late": Column("late", is_number=True),
    "cut": Column("why uncovered"),
}
"""The columns that a list can show, and their titles."""
BOOK_COLUMNS = ("place", "of", "uncovered", "late", "cut")
"""The columns of a plan of the whole book."""
NARROW = ("tier", "score", "fail_id", "security", "side", "qty", "due", "days_left")
WIDE = (
    *NARROW[:6],
    "counterparty",
    "market_value",
    "age_days",
    "due",
    "days_left",
    "escalation",
)


def choose_columns(width: int) -> tuple[str, ...]:
    """Return the columns that fit a terminal of `width` characters."""
    return WIDE if width >= _WIDE else NARROW


def render_list(
    answers: Iterable[Answer], columns: Sequence[str], width: int, paint: Paint = leave_plain
) -> Iterator[str]:
    """Yield the lines of a list: the titles, then two lines or more for each answer."""
    numbers = {place + 1 for place, name in enumerate(columns) if COLUMNS[name].is_number} | {0}
    head = Row(("#", *(COLUMNS[name].title for name in columns)))
    remaining = iter(answers)
    rank = 0
    while block := list(islice(remaining, _BLOCK)):
        rows = [
            make_row(answer, columns, paint, str(rank + place))
            for place, answer in enumerate(block, start=1)
        ]
        table = Columns([head, *rows], width, indent=4, right=numbers)
        if rank == 0:
            yield from table.render(head)
        for answer, row in zip(block, rows, strict=True):
            yield from table.render(row)
            yield from _render_notes(answer, width)
        rank += len(block)


def make_row(answer: Answer, columns: Sequence[str], paint: Paint, *first: str) -> Row:
    """Return the cells of an answer after the cells `first`; the tier has its colour."""
    cells = (*first, *(write_cell(answer, name) for name in columns))
    tier = answer.tier
    if tier is None or paint is leave_plain or "tier" not in columns:
        return Row(cells)
    return Row(cells, paints={len(first) + columns.index("tier"): partial(paint, tier)})


def _render_notes(answer: Answer, width: int) -> Iterator[str]:
    for note in list_notes(answer):
        yield from (f"    {line}" for line in fill_lines(note, width - 4, "  "))


def list_notes(answer: Answer) -> list[str]:
    """Return what to do, or why nothing could be said; then what is doubtful about it."""
    text = answer.what_to_do if answer.error is None else f"{answer.status}: {answer.error}"
    notes = [] if text is None else [text]
    if answer.assumed is not None:
        notes.append(f"Assumed: {answer.assumed}.")
    if answer.tone is not None:
        notes.append(f"Tone of the notes: {answer.tone}.")
    if answer.warnings:
        noun = "contradiction" if answer.warnings == 1 else "contradictions"
        notes.append(f"The record has {answer.warnings} {noun}; finops show names them.")
    if answer.promised_before:
        notes.append("Earlier lines promise shares of the same sources; finops book shares them.")
    if answer.of is not None and (answer.of > 1 or answer.late):
        notes.append(_describe_place(answer))
    return [clean(note) for note in notes]


def _describe_place(answer: Answer) -> str:
    """Give the place of a fail in the queue of its security, and the shares that it lacks."""
    place = f"Place {answer.place:,} of {answer.of:,} in the queue of {answer.pool}"
    lacks = [
        f"{qty:,} shares {what}"
        for qty, what in ((answer.uncovered, "uncovered"), (answer.late, "late"))
        if qty
    ]
    cut = f" {answer.cut}" if answer.cut else ""
    return f"{place}{': ' if lacks else ''}{', '.join(lacks)}.{cut}"


def write_cell(answer: Answer, name: str) -> str:
    """Write a value for a person: 32,000, Wed 2026-11-18, 2 late, and nothing for null."""
    value = getattr(answer, name)
    if value is None:
        return ""
    day = read_day(value) if name == "due" else None
    if day is not None:
        return write_day(day)
    if name == "days_left" and value <= 0:
        return f"{-value:,} late" if value else "today"
    if name == "market_value":
        return f"{value.quantize(Decimal(1), ROUND_HALF_UP):,}"
    if name == "escalation" and value == "NONE":
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:f}" if isinstance(value, Decimal) else clean(str(value))
