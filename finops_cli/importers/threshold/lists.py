"""Reg SHO threshold lists: which symbols a list has (source: the lists that the markets publish).

A file may hold several lists, each below its own header: files that were joined, or an archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.files.recognise import FileKind
from finops_cli.importers.market_text import TextFile, list_files, number_lines, open_text
from finops_cli.importers.stream import Note
from finops_cli.importers.symbols import compare_form
from finops_cli.importers.threshold.closing_lines import CLOSING_ACCEPTED, Closing, read_closing
from finops_cli.importers.threshold.shapes import (
    CBOE_COLUMNS,
    COLUMNS,
    QUERY_COLUMNS,
    Listed,
    Shape,
    choose_shape,
    find_header,
)
from finops_cli.verify.schemas import unusable

_CURE = "give a list as Nasdaq, NYSE, Cboe, OCC or FINRA publishes it: text, .zip or .gz"


class ThresholdList(Struct, kw_only=True):
    """The rows below one header."""

    file: TextFile
    header_line: int
    house: str
    rows: list[Listed] = []
    closing_date: str | None = None
    """The ISO date in its last line."""
    is_damaged: bool = False
    """Rows may be missing: that a symbol is not in it proves nothing."""

    @property
    def has_dated_rows(self) -> bool:
        """True if the rows have the dates, as those of FINRA's query."""
        return bool(self.rows) and self.rows[0].date is not None

    @property
    def shown(self) -> str:
        """The list in a message: its file, with the line of a header that is not the first."""
        at = f":{self.header_line}" if self.header_line > 1 else ""
        return f"{self.file.shown}{at}"


Part = ThresholdList | Damage | Note


def read_lists(path: Path) -> Iterator[Part]:
    """Yield the lists of a file, and before each its damaged lines and notes.

    Raises UsageError if `path` is not a threshold list.
    """
    for file in list_files(path, _CURE):
        with open_text(file) as text:
            lines = _split_headers(number_lines(text, file.shown))
            yield from _lists_of(file, text.kind, lines)
            yield from text.notes()


def _split_headers(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Begin a line at each header: a file that is joined to another may lack its last line end."""
    for number, text in lines:
        at = find_header(text)
        if at > 0 and text[:at].strip():
            yield number, text[:at]
        yield number, text[max(at, 0) :]


def _lists_of(file: TextFile, kind: FileKind, lines: Iterator[tuple[int, str]]) -> Iterator[Part]:
    reader: _Reader | None = None
    for number, text in lines:
        if not text.strip():
            continue
        shape = choose_shape(text) if reader is None or find_header(text) == 0 else None
        if shape is not None:
            if reader is not None:
                yield from reader.finish()
            reader = _Reader(file, number, shape)
        elif reader is None:
            raise _not_a_list(file, kind)
        else:
            yield from reader.take(number, text)
    if reader is None:
        raise _not_a_list(file, kind)
    yield from reader.finish()


def _not_a_list(file: TextFile, kind: FileKind) -> UsageError:
    if kind is FileKind.SEC_FAILS:
        return UsageError(
            f"{file.shown} is not a threshold list, but a fails-to-deliver file of the SEC",
            f"give it to finops import sec-fails {file.path}",
        )
    if kind is FileKind.EMPTY:
        return UsageError(f"{file.shown} is not a threshold list: it is empty", "fetch it again")
    return UsageError(
        f"{file.shown} is not a threshold list: its first line must begin with {'|'.join(COLUMNS)},"
        f" or with {'|'.join(CBOE_COLUMNS)}, or have the columns {', '.join(QUERY_COLUMNS)}",
        _CURE
        if file.member is None
        else f"unpack it (unzip {file.path}) and give its threshold lists alone",
    )


class _Reader:
    """Reads the rows and the last lines of one list."""

    def __init__(self, file: TextFile, header_line: int, shape: Shape) -> None:
        self._shape = shape
        self._list = ThresholdList(file=file, header_line=header_line, house=shape.house)
        self._first: dict[tuple[str, str | None], tuple[int, Listed]] = {}
        self._given_rows = 0
        self._is_closed = False
        self._closing_line = ""
        self._counts: list[int] = []

    def take(self, number: int, text: str) -> Iterator[Damage]:
        """Take a line below the header."""
        closing = read_closing(text)
        if closing is not None:
            yield from self._close(number, text, closing)
        elif self._is_closed:
            self._list.is_damaged = True
            yield self._damage(number, "import.trailer", "row", text, "no row after the last line")
        else:
            self._given_rows += 1
            entry = self._shape.read_row(text)
            if isinstance(entry, Listed):
                yield from self._add(number, entry)
            else:
                self._list.is_damaged = True
                yield Damage(self._list.file.shown, number, tuple(entry))

    def finish(self) -> Iterator[Part]:
        """End the list."""
        for count in self._counts:
            if count != self._given_rows:
                self._list.is_damaged = True
                yield Note(
                    self._list.shown,
                    f"the last line says {count:,} rows, and the list has {self._given_rows:,}:"
                    " fetch the list again if it was cut",
                )
        is_undated = self._shape.has_dates and not self._list.rows and self._given_rows
        if not is_undated:  # each row was damaged, and the date with it
            yield self._list

    def _close(self, number: int, text: str, closing: Closing) -> Iterator[Damage]:
        self._is_closed = True
        known = self._list.closing_date
        if closing.rows is not None:
            self._counts.append(closing.rows)
        elif closing.date is None:
            yield self._damage(number, "import.trailer", "last line", text, CLOSING_ACCEPTED)
        elif known not in (None, closing.date):
            accepted = f"one date for a list; the line before says {known}"
            yield self._damage(number, "import.trailer", "last line", text, accepted)
        else:
            self._list.closing_date = closing.date

    def _add(self, number: int, entry: Listed) -> Iterator[Damage]:
        key = compare_form(entry.symbol), entry.date
        line, first = self._first.setdefault(key, (number, entry))
        if line == number:
            self._list.rows.append(entry)
        elif first.symbol == entry.symbol:
            accepted = f"each symbol once; line {line} has it"
            yield self._damage(number, "input.duplicate", "Symbol", entry.symbol, accepted)
        elif first.threshold != entry.threshold:
            accepted = (
                f"one flag for a symbol; line {line} has {first.symbol} with the other flag, and"
                " symbols are compared without separators"
            )
            yield self._damage(number, "input.duplicate", "Symbol", entry.symbol, accepted)
        if line != number and entry.threshold and not first.threshold:
            self._list.rows.append(entry)  # of two flags the one that costs the desk more

    def _damage(self, line: int, rule: str, field: str, value: str, accepted: str) -> Damage:
        return Damage(self._list.file.shown, line, (unusable(rule, field, value, accepted),))
