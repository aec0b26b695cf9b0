"""The owners and comments that a desk filled into an earlier workbook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.files.recognise import FileKind, recognise
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.tables.table import CellFault, CellValue, Percentage
from finops_cli.importers.tables.xlsx_table import Workbook, open_workbook
from finops_cli.views.answer_index import AnswerIndex
from finops_cli.views.exports.cells import TITLES
from finops_cli.views.matching import Named, find_match
from finops_cli.views.wording import clean

OWNER, COMMENT = "Owner", "Comment"
LIST, GONE = "List", "Gone"
"""The sheets that hold notes; a sheet that was full goes on in `List 2`."""
_HEAD_ROWS = 20
"""Rows in which the titles are looked for: a desk may have put some above them."""
_KEYS = ("fail_id", "cusip", "counterparty", "settlement_date")
_TABLE = (
    "CREATE TABLE notes (place INTEGER PRIMARY KEY, gone INTEGER, filled INTEGER, used INTEGER,"
    " fail_id TEXT, cusip TEXT, counterparty TEXT, settlement_date TEXT, body BLOB)"
)
_LOOKUPS = (
    "CREATE INDEX by_name ON notes (fail_id)",
    "CREATE INDEX by_facts ON notes (cusip, counterparty, settlement_date)",
)


class NoteCell(Struct, frozen=True):
    """A cell that the desk filled in. It stays what it is: a text, a number or a day."""

    kind: str
    """text, number, percent, day, moment or truth."""
    text: str

    def value(self) -> str | Decimal | date | datetime | bool:
        """Return the value for the next workbook; of a percentage, the number that is stored."""
        if self.kind in ("number", "percent"):
            return Decimal(self.text)
        if self.kind == "day":
            return date.fromisoformat(self.text)
        if self.kind == "moment":
            return datetime.fromisoformat(self.text)
        return self.text == "True" if self.kind == "truth" else self.text


class Note(Struct, frozen=True, kw_only=True):
    """Owner and comment of a fail in the earlier workbook."""

    place: int
    fail_id: str
    cusip: str | None
    counterparty: str | None
    settlement_date: str | None
    owner: NoteCell | None
    comment: NoteCell | None


class KeptNotes:
    """The notes of a workbook, in an index on disk. A note that found no fail is left over."""

    def __init__(self, path: Path) -> None:
        """Read the notes of a workbook of finops list.

        Raises UsageError for a file that finops did not write, MissingPiece without openpyxl.
        """
        self._table = TemporaryTable(_TABLE, *_LOOKUPS)
        self._rows = 0
        self.filled = 0
        """Rows with an owner or a comment."""
        self.carried = 0
        """Rows of the new list that got them."""
        recognised = recognise(path)
        if recognised.kind is not FileKind.WORKBOOK:
            raise _refuse(path)
        with open_workbook(recognised) as book:
            sheets = _find_sheets(book)
            if not sheets:
                raise _refuse(path)
            for name in sheets:
                self._read(book, name)

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def take(self, fail: Named, index: AnswerIndex) -> Note | None:
        """Return the note of a fail of `index`, and count it as carried over."""
        found, _ = find_match(fail, index, self)
        if found is None:
            return None
        self._table.insert("UPDATE notes SET used = 1 WHERE place = ?", (found.place,))
        self.carried += found.owner is not None or found.comment is not None
        return found

    def left_over(self, index: AnswerIndex) -> Iterator[tuple[Note, str]]:
        """Yield each note that no fail took, and why."""
        query = "SELECT body FROM notes WHERE filled AND NOT used ORDER BY place"
        for (body,) in self._table.stream(query):
            note = _DECODER.decode(body)
            found, is_unclear = find_match(note, self, index)
            if is_unclear:
                why = "several fails have this CUSIP, counterparty and settlement date"
            elif found is not None:
                why = "this list does not show the fail, or has another comment on it"
            else:
                why = "the fail is not in the file"
            yield note, why

    def named(self, name: str) -> list[tuple[int, Note]]:
        """Return the notes on the fail `name`; filled ones of the list come first."""
        return [(each.place, each) for each in self._select("fail_id = ?", (clean(name),))]

    def alike(self, fail: Named) -> list[Note]:
        """Return the notes with the facts of `fail`; those of fails that were gone come last."""
        facts = (fail.cusip, fail.counterparty, fail.settlement_date)
        where = "cusip IS ? AND counterparty IS ? AND settlement_date IS ? AND gone = ?"
        return self._select(where, (*facts, 0)) or self._select(where, (*facts, 1))

    def _select(self, where: str, values: Sequence[Any]) -> list[Note]:
        query = f"SELECT body FROM notes WHERE {where} ORDER BY filled DESC, gone, place LIMIT 2"  # noqa: S608 - no value is in the text
        return [_DECODER.decode(body) for (body,) in self._table.select(query, values)]

    def _read(self, book: Workbook, name: str) -> None:
        places: dict[str, int] = {}
        for row in book.table(name).rows():
            if not places:
                places = _find_titles(row.cells) if row.line <= _HEAD_ROWS else {}
                continue
            cells = {title: _at(row.cells, place) for title, place in places.items()}
            self._add(cells, is_gone=name.startswith(GONE))

    def _add(self, cells: dict[str, CellValue], *, is_gone: bool) -> None:
        keys = [_read_key(cells.get(TITLES[name])) for name in _KEYS]
        owner, comment = (_read_note(cells.get(title)) for title in (OWNER, COMMENT))
        if keys[0] is None and owner is None and comment is None:
            return
        self._rows += 1
        note = Note(
            place=self._rows,
            fail_id=keys[0] or "",
            cusip=keys[1],
            counterparty=keys[2],
            settlement_date=keys[3],
            owner=owner,
            comment=comment,
        )
        is_filled = owner is not None or comment is not None
        self.filled += is_filled
        self._table.insert(
            "INSERT INTO notes VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)",
            (note.place, is_gone, is_filled, note.fail_id, *keys[1:], _ENCODER.encode(note)),
        )


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Note)


def _find_sheets(book: Workbook) -> list[str]:
    """Return the sheets with notes: those called List or Gone whose titles are all there."""
    found = []
    for sheet in book.sheets():
        if sheet.name.split(" ")[0] not in (LIST, GONE):
            continue
        rows = takewhile(lambda row: row.line <= _HEAD_ROWS, book.table(sheet.name).rows())
        if any(_find_titles(row.cells) for row in rows):
            found.append(sheet.name)
    return found


def _find_titles(cells: Sequence[CellValue]) -> dict[str, int]:
    """Return the place of each title of a head row; empty for any other row."""
    places = {str(cell).strip(): place for place, cell in enumerate(cells) if cell is not None}
    return places if {TITLES["fail_id"], OWNER, COMMENT} <= set(places) else {}


def _at(cells: Sequence[CellValue], place: int) -> CellValue:
    return cells[place] if place < len(cells) else None


def _read_key(value: CellValue) -> str | None:
    if value is None or isinstance(value, CellFault):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    text = value.isoformat() if isinstance(value, date) else str(value)
    return clean(text) or None


def _read_note(value: CellValue) -> NoteCell | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, CellFault):
        return NoteCell("text", f"{value.text} {value.why}") if value.text else None
    if isinstance(value, bool):
        return NoteCell("truth", str(value))
    if isinstance(value, Percentage):
        return NoteCell("percent", f"{Decimal(value) / 100:f}")
    if isinstance(value, Decimal):
        return NoteCell("number", f"{value:f}")
    if isinstance(value, datetime):
        return NoteCell("moment", value.isoformat())
    return NoteCell("day" if isinstance(value, date) else "text", str(value))


def _refuse(path: Path) -> UsageError:
    return UsageError(
        f"{path}: is not a workbook of finops list: no sheet List with the columns"
        f" {TITLES['fail_id']}, {OWNER} and {COMMENT}",
        "give a workbook that finops list wrote, with the titles of its columns",
    )
