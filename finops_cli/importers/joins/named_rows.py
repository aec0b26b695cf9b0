"""Rows of a file that each name a fail: by `fail_id`, by `cusip` or by `symbol`.

A file is CSV or JSON Lines. A file with a fault is refused, with all its faults.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.finding import Problem
from finops_cli.importers import dates
from finops_cli.importers.row_files import GivenRow, RowFaults, RowLayout, read_rows
from finops_cli.importers.symbols import compare_form
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

T = TypeVar("T", bound=Struct)
FAIL_ID = "fail_id"
KEYS = (FAIL_ID, "cusip", "symbol")
"""The fields that name the fail of a row, the narrowest first."""
_KEY_ACCEPTED = "a fail_id, cusip or symbol in each row"
_DAYS = ("date", "trade_date", "settled_on", "for_settlement_date", "until")
_MOMENTS = ("at",)


class Key(NamedTuple):
    """The field that names a fail, and its value: ("cusip", "594918104").

    A symbol is in the form for comparisons: `BRK.B` is `BRKB`.
    """

    field: str
    value: str


class NamedRows(Generic[T]):
    """The rows read so far, by their names."""

    def __init__(self) -> None:
        self.by_key: dict[Key, list[T]] = {}
        self.lines: dict[tuple[Key, str], int] = {}
        """The line of the last date, and of each event id."""
        self.other_names: dict[Key, dict[str, tuple[str, int]]] = {}
        """The CUSIP and symbol that the rows of a narrower name have too, and their line."""


Check = Callable[[NamedRows[T], Key, T, int], Problem | None]


def read_named_rows(
    path: Path, codec: Codec[T], layout: RowLayout, check: Check[T], *, most: int
) -> NamedRows[T]:
    """Read a file of rows by the names of their fails. `check` refuses a row by those before it.

    Raises UsageError that lists every fault.
    """
    rows: NamedRows[T] = NamedRows()
    faults = RowFaults(path)
    for given in read_rows(path, layout):
        faults.add(given.line, [*given.problems] or _take(given, codec, rows, check, most=most))
    faults.refuse()
    return rows


def _take(
    given: GivenRow, codec: Codec[T], rows: NamedRows[T], check: Check[T], *, most: int
) -> list[Problem]:
    """Add a row to `rows`, or return its problems."""
    fields = {name: value for name, value in given.fields.items() if name not in KEYS}
    keys, problems = _keys_of(given.fields)
    problems += _tidy_dates(fields)
    row = codec.read(fields) if not problems else None
    if not keys or row is None:
        return problems or codec.explain(fields)
    key = keys[0]
    known = rows.by_key.setdefault(key, [])
    wrong = _add_other_names(rows, keys, given.line) or check(rows, key, row, given.line)
    if wrong is None and len(known) == most:
        wrong = unusable("schema.range", key.field, key.value, f"at most {most:,} rows")
    if wrong is not None:
        return [wrong]
    known.append(row)
    return []


def make_key(field: str, value: str) -> Key | None:
    """Make the key of a name; None for a name that is empty."""
    text = compare_form(value) if field == "symbol" else value
    return Key(field, text) if text else None


def _keys_of(fields: dict[str, Any]) -> tuple[list[Key], list[Problem]]:
    """Find the names of a row, the narrowest first."""
    keys: list[Key] = []
    for field in KEYS:
        value = fields.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > limits.ID_CHARS:
            accepted = f"text of up to {limits.ID_CHARS} characters"
            return [], [unusable("schema.type", field, str(value), accepted)]
        if field == "cusip" and not cusips.is_valid(value):
            accepted = "nine capital letters and digits, the last one the right check digit"
            return [], [unusable("schema.format", field, value, accepted)]
        key = make_key(field, value)
        if key is not None:
            keys.append(key)
    return keys, [] if keys else [unusable("schema.required", KEYS[0], "", _KEY_ACCEPTED)]


def _add_other_names(rows: NamedRows[T], keys: list[Key], line: int) -> Problem | None:
    """Remember the wider names of a row; a Problem if an earlier row of the fail has others."""
    key, *others = keys
    known = rows.other_names.setdefault(key, {}) if others else {}
    for field, value in others:
        first, first_line = known.setdefault(field, (value, line))
        if first != value:
            accepted = f"{first}, which line {first_line} has for {key.field} {key.value}"
            return unusable("import.name", field, value, accepted)
    return None


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
