"""Rows of a file that each name a fail: by `fail_id`, by `cusip` or by `symbol`.

A file is CSV or JSON Lines. A file with a fault is refused, with all its faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

from msgspec import Struct

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.jsonl import lines_of
from finops_cli.importers import dates
from finops_cli.pipeline.parse import decode
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import schema_errors, unusable

T = TypeVar("T", bound=Struct)
KEYS = ("fail_id", "cusip", "symbol")
"""The fields that name the fail of a row, the narrowest first."""
_KEY_ACCEPTED = "a fail_id, cusip or symbol in each row"
_SHARES_ACCEPTED = "a whole number of shares, such as 5000 or 5,000"
_DAYS = ("date", "trade_date", "settled_on", "for_settlement_date", "until")
_MOMENTS = ("at",)
_UNDECODABLE = "\ufffd"


class Key(NamedTuple):
    """The field that names a fail, and its value: ("cusip", "594918104")."""

    field: str
    value: str


class _GivenRow(NamedTuple):
    """A row as the file has it, or its problems."""

    line: int
    fields: dict[str, Any]
    problems: list[Problem]


class _Faults:
    """The first faults of a file, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[tuple[int, str]] = []

    def add(self, line: int, problems: list[Problem]) -> None:
        """Count the problems of a line."""
        self.count += len(problems)
        room = limits.PROBLEMS - len(self.shown)
        self.shown += [(line, problem.message) for problem in problems[:room]]


class NamedRows(Generic[T]):
    """The rows read so far, by their names."""

    def __init__(self) -> None:
        self.by_key: dict[Key, list[T]] = {}
        self.lines: dict[tuple[Key, str], int] = {}
        """The line of the last date, and of each event id."""


Check = Callable[[NamedRows[T], Key, T, int], Problem | None]


def read_named_rows(
    path: Path,
    codec: Codec[T],
    cells: dict[str, Callable[[str], Any]] | None,
    check: Check[T],
    most: int,
) -> dict[Key, tuple[T, ...]]:
    """Read a file of rows by the names of their fails. `check` refuses a row by those before it.

    `cells` reads the cells of CSV; None is for a file that is JSON Lines only. Raises UsageError
    that lists every fault.
    """
    rows: NamedRows[T] = NamedRows()
    faults = _Faults()
    try:
        with path.open("rb") as file:
            for given in _given_rows(path, file, cells):
                problems = [*given.problems] or _take(given, codec, rows, check, most)
                faults.add(given.line, problems)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "give a file") from error
    if faults.count:
        raise UsageError(_describe(path, faults), f"correct these lines of {path}")
    return {key: tuple(each) for key, each in rows.by_key.items()}


def _describe(path: Path, faults: _Faults) -> str:
    if faults.count == 1:
        [(line, message)] = faults.shown
        return f"{path}:{line}: {message}"
    shown = [f"  line {line}: {message}" for line, message in faults.shown]
    more = faults.count - len(shown)
    return "\n".join(
        [f"{path} has {faults.count} faults:", *shown, *([f"  and {more} more"] if more else [])]
    )


def _given_rows(
    path: Path, file: BinaryIO, cells: dict[str, Callable[[str], Any]] | None
) -> Iterator[_GivenRow]:
    """Yield the rows of CSV where `cells` allows it and the file does not begin with {."""
    first = file.read(limits.SHOWN_CHARS).lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    file.seek(0)
    if cells is not None and first != b"{":
        yield from _csv_rows(path, file, cells)
        return
    for number, (line, _) in enumerate(lines_of(file), start=1):
        if line.strip():
            yield _json_row(number, decode(line))


def _json_row(number: int, given: Any) -> _GivenRow:
    if isinstance(given, Problem):
        return _GivenRow(number, {}, [given])
    if not isinstance(given, dict):
        problem = unusable("schema.type", "line", str(given), "one JSON object per line")
        return _GivenRow(number, {}, [problem])
    return _GivenRow(number, given, [])


def _csv_rows(
    path: Path, file: BinaryIO, cells: dict[str, Callable[[str], Any]]
) -> Iterator[_GivenRow]:
    text = TextIOWrapper(file, "utf-8-sig", "replace", newline="")
    try:
        rows = csv_rows(text, ",")
        header = next(rows, None)
        names = [] if header is None else [name.strip() for name in header.cells]
        _check_header(path, names, cells)
        for row in rows:
            if row.fault is not None:
                fault = unusable("schema.format", "row", row.fault, "as many cells as the header")
                yield _GivenRow(row.line, {}, [fault])
            else:
                texts = zip(names, map(str.strip, row.cells), strict=True)
                yield _csv_row(row.line, dict(texts), cells)
    finally:
        text.detach()  # the caller closes the file


def _csv_row(line: int, texts: dict[str, str], cells: dict[str, Callable[[str], Any]]) -> _GivenRow:
    """Read the cells of a row; an empty cell leaves its field out."""
    fields: dict[str, Any] = {}
    problems = []
    for name, text in texts.items():
        if _UNDECODABLE in text:
            problems.append(unusable("schema.format", name, text, "text in UTF-8"))
            continue
        try:
            if text:
                fields[name] = cells[name](text)
        except ValueError:
            accepted = dates.DATE_ACCEPTED if name in _DAYS else _SHARES_ACCEPTED
            problems.append(unusable("schema.type", name, text, accepted))
    return _GivenRow(line, fields, problems)


def _check_header(path: Path, names: list[str], cells: dict[str, Callable[[str], Any]]) -> None:
    """Raise UsageError for a header without the columns of a history."""
    accepted = f"the columns {', '.join(cells)}, separated by commas"
    cure = f"write the names of the columns into the first line of {path}"
    for name in names:
        if name not in cells:
            raise UsageError(f"{path}:1: column {name!r} is not known; accepted: {accepted}", cure)
        if names.count(name) > 1:
            raise UsageError(f"{path}:1: column {name!r} stands twice; accepted: {accepted}", cure)
    missing = [name for name in ("date", "qty") if name not in names]
    if not any(key in names for key in KEYS):
        missing.append(" or ".join(KEYS))
    if missing:
        raise UsageError(
            f"{path}:1: column {missing[0]} is missing; accepted: {accepted}",
            cure,
        )


def _take(
    given: _GivenRow, codec: Codec[T], rows: NamedRows[T], check: Check[T], most: int
) -> list[Problem]:
    """Add a row to `rows`, or return its problems."""
    fields = {name: value for name, value in given.fields.items() if name not in KEYS}
    key, problems = _key_of(given.fields)
    problems += _tidy_dates(fields)
    row = codec.read(fields) if not problems else None
    if key is None or row is None:
        return problems or schema_errors(fields, codec.json_schema)
    known = rows.by_key.setdefault(key, [])
    wrong = check(rows, key, row, given.line)
    if wrong is None and len(known) == most:
        wrong = unusable("schema.range", key.field, key.value, f"at most {most:,} rows")
    if wrong is not None:
        return [wrong]
    known.append(row)
    return []


def _key_of(fields: dict[str, Any]) -> tuple[Key | None, list[Problem]]:
    """Find the narrowest name of a row."""
    for field in KEYS:
        value = fields.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > limits.ID_CHARS:
            accepted = f"text of up to {limits.ID_CHARS} characters"
            return None, [unusable("schema.type", field, str(value), accepted)]
        if field == "cusip" and not cusips.is_valid(value):
            accepted = "nine capital letters and digits, the last one the right check digit"
            return None, [unusable("schema.format", field, value, accepted)]
        return Key(field, value), []
    return None, [unusable("schema.required", KEYS[0], "", _KEY_ACCEPTED)]


def _tidy_dates(fields: dict[str, Any]) -> list[Problem]:
    """Write the dates of a row in ISO form, in place, and return those that do not exist."""
    problems = []
    for names, parse, accepted in (
        (_DAYS, dates.parse_date, dates.DATE_ACCEPTED),
        (_MOMENTS, dates.parse_moment, dates.MOMENT_ACCEPTED),
    ):
        for name in names:
            text = fields.get(name)
            if isinstance(text, str):
                try:
                    fields[name] = parse(text)
                except ValueError:
                    problems.append(unusable("schema.format", name, text, accepted))
    return problems
