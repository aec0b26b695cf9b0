"""Values of Parquet columns as the values of a record: exact numbers, texts, days."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from finops_cli.domain import limits
from finops_cli.domain.money import plain
from finops_cli.errors import UsageError
from finops_cli.files.parquet_rows import ParquetRows
from finops_cli.files.terminal import printable

_FINITE = "a finite number; leave the cell null where nothing is known"
_ZONE = re.compile(r"[+-]\d{4}$|Z$")
_MIDNIGHT = "00:00:00"


class BadValue(Exception):
    """A cell whose value no record can hold."""

    def __init__(self, value: str, accepted: str) -> None:
        super().__init__(value)
        self.value = value[: limits.SHOWN_CHARS]
        self.accepted = accepted


def value_reader(rows: ParquetRows, name: str, file: str) -> ValueReader:
    """Return what reads a column. Raises UsageError for a type that no field of a record has."""
    return ValueReader(rows.arrow, rows.schema.field(name).type, f"{file}: the column {name}")


class ValueReader:
    """Reads the values of one column, by its type. `column` names it in an error."""

    def __init__(self, arrow: Any, kind: Any, column: str) -> None:
        self._arrow = arrow
        self._kind = self._logical(kind)
        self._column = printable(column)
        self._target = self._readable(self._kind)

    def values(self, batch: Any, name: str) -> Any:
        """Return the values of the column in a record batch."""
        column = batch.column(batch.schema.get_field_index(name))
        column = getattr(column, "storage", column)
        if self._arrow.types.is_dictionary(column.type):
            return _Dictionary(column)
        return (column if column.type == self._target else column.cast(self._target)).to_pylist()

    def read(self, given: Any) -> Any:
        """Return the value for a record; None for a null. Raises BadValue."""
        return self._convert(given, self._kind)

    def _logical(self, kind: Any) -> Any:
        """Return the type of the values: a dictionary and an extension only store them."""
        kind = getattr(kind, "storage_type", kind)
        return kind.value_type if self._arrow.types.is_dictionary(kind) else kind

    def _readable(self, kind: Any) -> Any:
        """Return the type in which pyarrow gives exact values: numbers and times as texts."""
        arrow, types = self._arrow, self._arrow.types
        kind = self._logical(kind)
        if types.is_floating(kind) or types.is_timestamp(kind):
            return arrow.string()
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            return arrow.list_(self._readable(kind.value_type))
        if types.is_struct(kind):
            parts = [kind.field(at) for at in range(kind.num_fields)]
            return arrow.struct([(part.name, self._readable(part.type)) for part in parts])
        known = (
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
            types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind),
            types.is_decimal(kind) or types.is_date(kind),
        )
        if not any(known):
            raise UsageError(
                f"{self._column} has the type {kind}; accepted: text, numbers, decimals, true and"
                " false, dates, timestamps, and lists and structs of them",
                "write it as one of these, or as the JSON text of the record in a column `line`",
            )
        return kind

    def _convert(self, given: Any, kind: Any) -> Any:
        if given is None:
            return None
        types, kind = self._arrow.types, self._logical(kind)
        if types.is_floating(kind):
            return _read_number(str(given))
        if types.is_decimal(kind):
            return Decimal(plain(given))
        if types.is_timestamp(kind):
            return _read_moment(str(given), has_zone=kind.tz is not None)
        if types.is_date(kind):
            return given.isoformat()
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            return [self._convert(each, kind.value_type) for each in given]
        if types.is_struct(kind):
            found = {
                part.name: self._convert(given[part.name], part.type)
                for part in (kind.field(at) for at in range(kind.num_fields))
            }
            return {name: value for name, value in found.items() if value is not None}
        return given


class _Dictionary:
    """The values of a column that are stored once each: only those that are asked for are read."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __getitem__(self, row: int) -> Any:
        return self._column[row].as_py()


def _read_number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise BadValue(text, _FINITE) from error
    if not number.is_finite():
        raise BadValue("NaN" if number.is_nan() else text, _FINITE)
    return Decimal(plain(number))


def _read_moment(text: str, *, has_zone: bool) -> str:
    """Write a timestamp as ISO 8601; one without a zone at midnight is a day."""
    day, _, given = text.partition(" ")
    time = _ZONE.sub("", given)
    zone = given.removeprefix(time)
    if zone not in ("", "Z"):
        zone = f"{zone[:3]}:{zone[3:]}"
    if "." in time:
        time = time.rstrip("0").rstrip(".")
    if time == _MIDNIGHT and not has_zone:
        return day
    return f"{day}T{time}{zone}"
