"""The rows of a file by the names of their fails, and the records that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.importers.joins.named_rows import FAIL_ID, KEYS, Key, NamedRows, make_key
from finops_cli.pipeline.parse import decode

T = TypeVar("T", bound=Struct)
_NAMES_SHOWN = 3
_UNNAMED = "a record without fail_id"
_DAY = len("YYYY-MM-DD")


class _Names(NamedTuple):
    """The names of a record, the narrowest first, and the day of its own moment."""

    keys: tuple[Key, ...]
    day: str

    @property
    def fail_id(self) -> str | None:
        """The fail_id; None if the record has none."""
        return self.keys[0].value if self.keys and self.keys[0].field == FAIL_ID else None


class Series(Generic[T]):
    """The rows of a file, by the fail, CUSIP or symbol that they belong to.

    Memory holds the rows, and for each name a few of the records that have it.
    """

    def __init__(self, file: str, rows: NamedRows[T]) -> None:
        self.file = file
        self._rows = {key: tuple(each) for key, each in rows.by_key.items()}
        self._others = rows.other_names
        self._owners: dict[tuple[Key, str], list[str]] = {}
        self._used: set[Key] = set()
        self.has_owners = False
        """True if the owners of all records are known: a record adds none when it is joined."""

    @property
    def is_by_security(self) -> bool:
        """True if rows name a CUSIP or a symbol: several records can have it."""
        return any(key.field != FAIL_ID for key in self._rows)

    def add_owner(self, names: _Names, number: int | None = None) -> None:
        """Remember that the record `names` has the rows of its CUSIP or symbol."""
        found = self._find_keys(names.keys)
        if len(found) == 1 and found[0].field != FAIL_ID:
            owners = self._owners.setdefault((found[0], names.day), [])
            name = names.fail_id or (_UNNAMED if number is None else f"line {number}")
            if len(owners) <= _NAMES_SHOWN and (name == _UNNAMED or name not in owners):
                owners.append(name)

    def find(self, record: FailRecord) -> tuple[T, ...] | Problem:
        """Return the rows of `record`; empty if the file has none.

        A Problem where the record has rows under two names, where a row has another CUSIP or
        symbol beside its fail_id, and where the rows of a CUSIP or symbol belong to several
        records of one day: no share counts twice.
        """
        names = names_of(record)
        found = self._find_keys(names.keys)
        if not found:
            return ()
        key = found[0]
        self._used.update(found)
        if len(found) > 1:
            also = found[1]
            return refuse(
                also.field,
                also.value,
                f"rows for {key.field} {key.value} or for {also.field} {also.value}, not for both"
                f" in {self.file}",
            )
        if not self.has_owners:
            self.add_owner(names)
        return self._other_name(key, names) or self._shared(key, names) or self._rows[key]

    def list_unused(self) -> list[str]:
        """List the names that no record has had, such as `cusip 594918104`."""
        return [f"{key.field} {key.value}" for key in self._rows if key not in self._used]

    def _find_keys(self, keys: Iterable[Key]) -> list[Key]:
        return [key for key in keys if key in self._rows]

    def _other_name(self, key: Key, names: _Names) -> Problem | None:
        """A Problem where the rows of a fail name another security than the record."""
        given = dict(names.keys)
        for field, (value, line) in self._others.get(key, {}).items():
            of_record = given.get(field)
            if of_record is not None and of_record != value:
                return refuse(
                    field,
                    of_record,
                    f"{field} {value}, which line {line} of {self.file} has for {key.field}"
                    f" {key.value}; correct the row or the record",
                )
        return None

    def _shared(self, key: Key, names: _Names) -> Problem | None:
        """A Problem where several records of the day have the rows of `key`."""
        owners = self._owners.get((key, names.day), [])
        if len(owners) < 2:
            return None
        more = " and more" if len(owners) > _NAMES_SHOWN else ""
        shown = ", ".join(owners[:_NAMES_SHOWN])
        return refuse(
            key.field,
            key.value,
            f"rows with a fail_id in {self.file}, because several records have this {key.field}:"
            f" {shown}{more}",
        )


def find_owners(lines: Iterable[bytes], series: Sequence[Series[Any]]) -> None:
    """Find the records that have the rows of a CUSIP or symbol, before any of them is joined.

    A line that is not a record has no names.
    """
    for number, line in enumerate(lines, start=1):
        given = decode(line)
        if isinstance(given, dict):
            for each in series:
                each.add_owner(_names_of_line(given), number)
    for each in series:
        each.has_owners = True


def names_of(record: FailRecord) -> _Names:
    """The names under which a file may have rows of `record`."""
    facts = record.clock_facts
    as_of = None if facts is None else facts.as_of
    return _names(record.fail_id, record.cusip, record.symbol, record.origin, as_of)


def _names_of_line(given: dict[str, Any]) -> _Names:
    facts = given.get("clock_facts")
    as_of = facts.get("as_of") if isinstance(facts, dict) else None
    named = (given.get("fail_id"), given.get("cusip"), given.get("symbol"))
    return _names(*named, given.get("origin"), as_of)


def _names(fail_id: Any, cusip: Any, symbol: Any, origin: Any, as_of: Any) -> _Names:
    """The symbol comes from the record, else from its `origin`."""
    if not symbol and isinstance(origin, dict):
        symbol = origin.get("symbol")
    keys = (
        make_key(field, value)
        for field, value in zip(KEYS, (fail_id, cusip, symbol), strict=True)
        if isinstance(value, str)
    )
    day = as_of[:_DAY] if isinstance(as_of, str) else ""
    return _Names(tuple(key for key in keys if key is not None), day)


def refuse(field: str, value: str, accepted: str) -> Problem:
    """The problem of a record whose facts are given twice, or for another record."""
    return Problem(
        rule="input.duplicate",
        path=f"/{field}",
        value=value,
        accepted=accepted,
        message=f"{field.replace('/', '.')} is {value}; accepted: {accepted}",
    )


def symbol_of(record: FailRecord) -> str | None:
    """The symbol of a record in the form for comparisons; None if it has none."""
    return dict(names_of(record).keys).get("symbol")
