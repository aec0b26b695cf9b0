"""The list as an Excel workbook: sheets for the list, the plans, what changed, the sources.

The desk fills in the columns Owner and Comment. The next workbook takes them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, cast, get_args

from finops_cli.domain.enums import Tier
from finops_cli.views.answers import Answer
from finops_cli.views.change_report import TITLES as CHANGE_TITLES
from finops_cli.views.exports.cells import TITLES, read_cell
from finops_cli.views.exports.kept_notes import COMMENT, GONE, LIST, OWNER, KeptNotes, NoteCell
from finops_cli.views.exports.plan_rows import list_plan_rows
from finops_cli.views.exports.report import Report
from finops_cli.views.exports.sheet_rows import Value
from finops_cli.views.exports.sheets import (
    MAX_ROWS,
    MONEY,
    PERCENT,
    SCORE,
    WHOLE,
    Book,
    Look,
    SheetColumn,
)
from finops_cli.views.wording import clean, read_day

LIST_COLUMNS = (
    "tier",
    "score",
    "fail_id",
    "what_to_do",
    "due",
    "days_left",
    "market_value",
    "security",
    "side",
    "qty",
    "counterparty",
    "counterparty_name",
    "age_days",
    "escalation",
    "due_by",
    "category",
    "cusip",
    "settlement_date",
    "warnings",
    "assumed",
    "status",
    "error",
)
"""The columns of the list, unless others are asked for."""
KEYS = ("fail_id", "cusip", "counterparty", "settlement_date")
"""The columns by which the next workbook finds a comment; hidden where nobody asked for them."""
_NOTES_AFTER = "market_value"
"""Owner and Comment stand behind this column, where they are in view; else at the end. The columns
behind them are not printed: a sheet of paper is too narrow for them.
"""
_WIDTHS = {
    "tier": 10,
    "score": 7,
    "fail_id": 16,
    "what_to_do": 56,
    "cut": 56,
    "due": 12,
    "days_left": 7,
    "market_value": 16,
    "security": 11,
    "side": 6,
    "qty": 11,
    "counterparty": 13,
    "counterparty_name": 24,
    "age_days": 7,
    "escalation": 10,
    "due_by": 14,
    "category": 12,
    "cusip": 11,
    "settlement_date": 12,
    "warnings": 10,
    "assumed": 20,
    "status": 10,
    "error": 50,
    "decision": 24,
    "decided_at": 20,
    "decision_reason": 32,
}
_FORMATS = {"market_value": MONEY, "score": SCORE}
_WRAPPED = frozenset(
    {"what_to_do", "error", "assumed", "counterparty_name", "decision", "decision_reason", "cut"}
)
_OWNER = SheetColumn(OWNER, 16, wraps=True, is_filled_in=True)
_COMMENT = SheetColumn(COMMENT, 32, wraps=True, is_filled_in=True)
_RANK = SheetColumn("#", 6, WHOLE)
_PLAN_COLUMNS = (
    _RANK,
    SheetColumn("Tier", 10),
    SheetColumn("Fail", 16),
    SheetColumn("Security", 11),
    SheetColumn("Step", 11, is_number=False),
    SheetColumn("Action", 22),
    SheetColumn("Counterparty", 13),
    SheetColumn("Shares", 12, WHOLE),
    SheetColumn("Coverage %", 11, PERCENT),
    SheetColumn("Remaining", 12, WHOLE),
    SheetColumn("Rationale", 60, wraps=True),
)
_POOL_COLUMNS = (
    SheetColumn("Security", 11),
    SheetColumn("Place", 7, WHOLE),
    SheetColumn("Of", 7, WHOLE),
    SheetColumn("Tier", 10),
    SheetColumn("Fail", 16),
    SheetColumn("Counterparty", 13),
    SheetColumn("Days left", 7, WHOLE),
    SheetColumn("Owed", 12, WHOLE),
    SheetColumn("Covered", 12, WHOLE),
    SheetColumn("Uncovered", 12, WHOLE),
    SheetColumn("Late", 12, WHOLE),
    SheetColumn("Why uncovered", 60, wraps=True),
)
_POOL_FACTS = ("pool", "place", "of", "tier", "fail_id", "counterparty", "days_left", "qty")
_SOURCE_COLUMNS = (
    SheetColumn("Part", 18),
    SheetColumn("Rule", 26),
    SheetColumn("Value", 80, wraps=True),
    SheetColumn("Lines", 10, WHOLE),
    SheetColumn("Source", 50, wraps=True),
)
_TIERS = frozenset(get_args(Tier))


def write_workbook(
    report: Report, out: BinaryIO, kept: KeptNotes | None = None, max_rows: int = MAX_ROWS
) -> None:
    """Write the workbook of a list, with the notes of an earlier one.

    A sheet has at most `max_rows` rows. Raises MissingPiece without openpyxl.
    """
    book = Book()
    writer = _Writer(book, report, kept, max_rows)
    writer.write_list()
    writer.write_plans()
    if report.index.has_book:
        writer.write_pools()
    if report.changes is not None:
        writer.write_changes()
    if kept is not None:
        writer.write_gone()
    writer.write_sources()
    book.save(out, report.moment())


class _Writer:
    def __init__(self, book: Book, report: Report, kept: KeptNotes | None, max_rows: int) -> None:
        self._book, self._report, self._kept, self._max_rows = book, report, kept, max_rows
        asked = report.columns
        self._names = (*asked, *(name for name in KEYS if name not in asked))
        self._notes_at = asked.index(_NOTES_AFTER) + 1 if _NOTES_AFTER in asked else len(asked)
        self._columns = [
            _make_column(name, is_hidden=name not in asked, is_printed=place < self._notes_at)
            for place, name in enumerate(self._names)
        ]

    def write_list(self) -> None:
        columns = [_RANK, *self._with_notes(self._columns, _OWNER, _COMMENT)]
        sheet = self._book.add_sheet(LIST, columns, self._max_rows)
        index, kept = self._report.index, self._kept
        for rank, (answer, _) in enumerate(self._report.rows(), start=1):
            note = None if kept is None else kept.take(answer, index)
            owner = answer.owner if note is None else _write_note(note.owner)
            comment = answer.comment if note is None else _write_note(note.comment)
            cells = self._with_notes(self._read(answer), owner, comment)
            sheet.append([rank, *cells], _look(answer))

    def write_plans(self) -> None:
        sheet = self._book.add_sheet("Plans", _PLAN_COLUMNS, self._max_rows)
        for rank, (answer, plan) in enumerate(self._report.rows(), start=1):
            if plan is None:
                continue
            fail = [rank, *(read_cell(answer, name) for name in ("tier", "fail_id", "security"))]
            for row in list_plan_rows(plan):
                step: Value = int(row.step) if row.step.isdecimal() else row.step
                sheet.append([*fail, step, *row[1:]], _look(answer))

    def write_pools(self) -> None:
        """Write the queue of each security that several fails draw on: what competes with what."""
        sheet = self._book.add_sheet("Pools", _POOL_COLUMNS, self._max_rows)
        for answer in self._report.index.shared_pools(self._report.wanted):
            facts = [getattr(answer, name) for name in _POOL_FACTS]
            lacks = answer.uncovered or 0
            cut = None if answer.cut is None else clean(answer.cut)
            covered = None if answer.qty is None else answer.qty - lacks
            sheet.append([*facts, covered, lacks, answer.late, cut], _look(answer))

    def write_changes(self) -> None:
        told = (SheetColumn("Change", 22, wraps=True), SheetColumn("What changed", 46, wraps=True))
        sheet = self._book.add_sheet("Changes", [*told, *self._columns], self._max_rows)
        changes = self._report.changes
        for change in () if changes is None else changes.list(self._report.wanted):
            kinds = ", ".join(CHANGE_TITLES[kind] for kind in change.kinds)
            row = [kinds, clean("; ".join(change.said)), *self._read(change.answer)]
            sheet.append(row, _look(change.answer))

    def write_gone(self) -> None:
        keys = [_make_column(name) for name in KEYS]
        columns = [*keys, _OWNER, _COMMENT, SheetColumn("Why it is here", 50, wraps=True)]
        sheet = self._book.add_sheet(GONE, columns, self._max_rows)
        if self._kept is None:
            return
        for note, why in self._kept.left_over(self._report.index):
            day = None if note.settlement_date is None else read_day(note.settlement_date)
            facts = [note.fail_id, note.cusip, note.counterparty, day or note.settlement_date]
            sheet.append([*facts, _write_note(note.owner), _write_note(note.comment), why])

    def write_sources(self) -> None:
        sheet = self._book.add_sheet("Sources", _SOURCE_COLUMNS, self._max_rows)
        for row in self._report.sources():
            sheet.append([row.part, row.name or None, row.value, row.lines, row.source or None])

    def _read(self, answer: Answer) -> list[Value]:
        return [read_cell(answer, name) for name in self._names]

    def _with_notes(self, items: Sequence[Any], owner: Any, comment: Any) -> list[Any]:
        at = self._notes_at
        return [*items[:at], owner, comment, *items[at:]]


def _make_column(name: str, is_hidden: bool = False, is_printed: bool = True) -> SheetColumn:
    return SheetColumn(
        TITLES[name],
        _WIDTHS.get(name, 12),
        _FORMATS.get(name, WHOLE),
        wraps=name in _WRAPPED,
        is_hidden=is_hidden,
        is_printed=is_printed,
    )


def _look(answer: Answer) -> Look:
    return cast("Look", answer.tier) if answer.tier in _TIERS else "plain"


def _write_note(note: NoteCell | None) -> Value:
    return None if note is None else note.value()
