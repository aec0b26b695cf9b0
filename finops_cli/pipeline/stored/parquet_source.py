"""The input of a run in a Parquet file: the column `line`, else a column for each field.

Row N gives line N of the output. A row that gives no record is a Damage in its place.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from finops_cli.domain import exact_json, limits
from finops_cli.domain.finding import Damage, Problem
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import Batches, InputLine, group
from finops_cli.files.parquet_rows import LINE, ParquetRows
from finops_cli.files.terminal import printable
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputDigest, PlainSource
from finops_cli.pipeline.stored.parquet_values import BadValue, ValueReader, value_reader

PARQUET = "parquet"
SAME_FACTS = {"settlement_date": "clock_facts.settlement_date"}
"""Columns of a list that hold a fact of the record under another name."""
ANSWERS = frozenset(
    (
        "tier",
        "score",
        "security",
        "due",
        "due_by",
        "days_left",
        "status",
        "category",
        "escalation",
        "action",
        "warnings",
        "assumed",
        "tone",
        "what_to_do",
        "error",
        "place",
        "of",
        "uncovered",
        "late",
        "cut",
    )
)
"""Columns of a list of answers (`--format csv`) that hold no fact of the record."""


@dataclass
class ParquetSource(PlainSource):
    """Records of a Parquet file. `fields` are the fields of a record of the command."""

    path: Path
    fields: tuple[str, ...]
    left_out: list[str] = field(default_factory=list)
    """The columns that hold answers, not facts."""

    def __post_init__(self) -> None:
        """Read the footer. Raises UsageError for columns that are not fields of a record."""
        rows = ParquetRows(self.path)
        self.length = rows.count
        """The rows: the ends of the batches count them."""
        self._has_lines = LINE in rows.names
        if self._has_lines:
            rows.refuse_other_lines()
        else:
            self._places = self._find_places(rows)

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the records after the first `skip`."""
        return group(((line, 1) for line in self.lines()), skip, at_most)

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield a line for each row."""
        rows = ParquetRows(self.path)
        if not self._has_lines:
            yield from self._read_columns(rows)
            return
        for number, line in enumerate(rows.lines(), start=1):
            yield self._damage(number, [_NO_LINE]) if line is None else line

    def digest(self) -> InputDigest:
        """Return the length and the SHA-256 of the file, as it is stored."""
        return InputDigest(*resume.digest(self.path), kind=PARQUET)

    def report(self) -> list[str]:
        """Describe the file, and name the columns that were not read."""
        how = f"the column `{LINE}`" if self._has_lines else f"{len(self._places):,} columns"
        found = [f"{self.path}: Parquet, {how} of {self.length:,} rows"]
        if self.left_out:
            found.append(f"not read, because they hold answers: {', '.join(self.left_out)}")
        return found

    def _find_places(self, rows: ParquetRows) -> dict[str, tuple[str, ...]]:
        """Return the place in a record of each column. Raises UsageError for other columns."""
        places: dict[str, tuple[str, ...]] = {}
        unknown = []
        for name in rows.names:
            place = tuple(SAME_FACTS.get(name, name).split("."))
            if place[0] in self.fields and len(place) <= _DEPTH:
                places[name] = place
            elif name in ANSWERS:
                self.left_out.append(name)
            else:
                unknown.append(name)
        if unknown or not places:
            raise self._refuse(unknown or rows.names)
        first: dict[tuple[str, ...], str] = {}
        for name, place in sorted(places.items(), key=lambda each: len(each[1])):
            other = first.get(place[:1]) or first.get(place)
            if other is not None:
                raise UsageError(
                    f"{self.path}: the columns {printable(other)} and {printable(name)} give one"
                    " field",
                    "drop one of them",
                )
            first[place] = name
        self._readers = {name: value_reader(rows, name, str(self.path)) for name in places}
        return places

    def _refuse(self, unknown: list[str]) -> UsageError:
        shown = ", ".join(map(printable, unknown[: limits.PROBLEMS]))
        near = get_close_matches(unknown[0], self.fields, n=1)
        hint = f" ({unknown[0]}: did you mean {near[0]}?)" if near else ""
        are = "columns are" if len(unknown) > 1 else "column is"
        return UsageError(
            f"{self.path}: {len(unknown)} {are} no field of a record: {shown}{hint}",
            f"rename or drop them, or put the JSON text of each record into a column `{LINE}`;"
            " finops schema fail names the fields",
        )

    def _read_columns(self, rows: ParquetRows) -> Generator[InputLine, None, None]:
        number = 0
        for batch in rows.batches(list(self._places)):
            columns = [
                (self._places[name], self._readers[name], self._readers[name].values(batch, name))
                for name in self._places
            ]
            for row in range(batch.num_rows):
                number += 1
                line = self._make_line(number, row, columns)
                rows.count_bytes(len(line) if isinstance(line, bytes) else 1)
                yield line

    def _make_line(
        self, number: int, row: int, columns: list[tuple[tuple[str, ...], ValueReader, Any]]
    ) -> InputLine:
        record: dict[str, Any] = {}
        problems: list[Problem] = []
        for place, reader, values in columns:
            try:
                value = reader.read(values[row])
            except BadValue as error:
                problems.append(_describe(error, place))
                continue
            if value is not None:
                outer = record if len(place) == 1 else record.setdefault(place[0], {})
                outer[place[-1]] = value
        name = record.get("fail_id")
        if problems:
            return self._damage(number, problems, name if isinstance(name, str) else None)
        return exact_json.encode(record)

    def _damage(self, number: int, problems: list[Problem], name: str | None = None) -> Damage:
        usable = name if name and len(name) <= limits.ID_CHARS else None
        return Damage(str(self.path), number, tuple(problems), usable)


_DEPTH = 2
"""A column of a field, or of a field of an object: `qty`, `inventory.box_qty`."""
_NO_LINE = Problem(
    rule="schema.json",
    path="",
    value="null",
    accepted="one JSON object per row",
    message=f"the column `{LINE}` is null; accepted: one JSON object per row",
)


def _describe(error: BadValue, place: tuple[str, ...]) -> Problem:
    name = ".".join(place)
    return Problem(
        rule="schema.type",
        path="/" + "/".join(place),
        value=error.value,
        accepted=error.accepted,
        message=f"{name} is {error.value}; accepted: {error.accepted}",
    )
