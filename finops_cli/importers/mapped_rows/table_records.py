"""Reads the rows of a table as fail records: a mapping says which column gives which field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from finops_cli.domain import cusip
from finops_cli.domain.finding import Damage, Problem
from finops_cli.files.seen_ids import SeenIds
from finops_cli.importers.mapped_rows.column_readers import (
    ColumnReader,
    FieldReader,
    Notation,
)
from finops_cli.importers.mapped_rows.comma_evidence import CommaDoubt, Sighting
from finops_cli.importers.mapped_rows.mapping import Column, Mapping, constants_of
from finops_cli.importers.mapped_rows.scale_mix import ScaleMix
from finops_cli.importers.mapped_rows.skipped_rows import SkipMatch, find_skips
from finops_cli.importers.mapped_rows.table_header import find_header
from finops_cli.importers.stream import FileRead, Item, TableNotes, admit, nest
from finops_cli.importers.tables.table import Table, TableRow
from finops_cli.pipeline.inputs import NO_MOMENT, InputPolicy

_A_ROW = "one row per record, as many cells as the header has, quotes closed"
Completion = Callable[[dict[str, Any]], list[Problem]]
"""Adds facts of other files to a record, in place, or returns why it cannot be used."""


def records_of(
    table: Table,
    mapping: Mapping,
    map_name: str,
    *,
    blanks: Collection[str] = (),
    complete: Completion | None = None,
    inputs: InputPolicy | None = None,
) -> Iterator[Item]:
    """Yield the records and damages of a table, in its order, then what was changed on the way.

    `complete` adds facts of other files to each record. The other arguments are those of
    `TableReader`. Raises UsageError.
    """
    reader = TableReader(table, mapping, map_name, blanks=blanks, inputs=inputs)
    with SeenIds() as seen:
        for each in reader.read():
            problems = each.problems
            if complete is not None and not problems:
                problems = complete(each.record)
            yield reader.admit(each._replace(problems=problems), seen)
    if notes := reader.notes():
        yield TableNotes(table.name, tuple(notes))
    yield FileRead(table.name, reader.rows)


class RowRead(NamedTuple):
    """A row and the record that the mapping makes of it, as far as its cells could be read."""

    row: TableRow
    record: dict[str, Any]
    problems: list[Problem]


class TableReader:
    """Reads the records of a table, once, and counts what it changes."""

    def __init__(
        self,
        table: Table,
        mapping: Mapping,
        map_name: str,
        *,
        blanks: Collection[str] = (),
        inputs: InputPolicy | None = None,
    ) -> None:
        """Keep the mapping; the table is read by `read`.

        `map_name` names the mapping in a cure: `mapping.yaml`. `blanks` are the texts of an empty
        cell where the mapping has none of its own (kb: `import.blanks`). `inputs` completes a
        record before it is checked; None is the policy of the bundled rules.
        """
        self._table = table
        self._mapping = mapping
        self._map_name = map_name
        self._inputs = inputs
        self._notation = Notation(
            None if mapping.numbers is None else mapping.numbers.marks,
            mapping.csv.dates,
            frozenset(blanks if mapping.blanks is None else mapping.blanks),
        )
        self._constants = constants_of(mapping)
        self._readers: list[FieldReader] = []
        self._by_field: dict[str, FieldReader] = {}
        self._mixes: dict[str, ScaleMix] = {}
        self.rows = 0
        """The rows below the header, those that were skipped among them."""
        self.skipped: Counter[int] = Counter()
        """How many rows each rule under `rows: skip` left out, by its place."""
        self.repaired: Counter[tuple[str, str]] = Counter()
        """How many cells each repair changed, by field and repair."""
        self.defaults: Counter[str] = Counter()
        """How many empty cells of each field took the default."""

    def read(self) -> Iterator[RowRead]:
        """Yield the rows below the header. Raises UsageError if the header lacks a column."""
        rows = self._table.rows()
        header = find_header(rows, self._table, self._mapping, self._map_name)
        rules = find_skips(header, self._mapping)
        doubt = None
        if self._mapping.numbers is None and not self._table.is_pipe:
            doubt = CommaDoubt(self._sight_numbers(rules))
        self._readers = header.make_readers(self._notation._replace(doubt=doubt))
        self._by_field = {reader.field: reader for reader in self._readers}
        self._mixes = {
            field: ScaleMix(field, column, header.position(column.column))
            for field, column in self._mapping.columns.items()
            if isinstance(column, Column) and ScaleMix.concerns(field, column)
        }
        for row in rows:
            if not any(row.cells) and row.fault is None:
                continue
            self.rows += 1
            place = next((at for at, rule in enumerate(rules) if rule.fits(row)), None)
            if place is not None and self._is_fail_like(row, rules[place]):
                conflict = rules[place].describe_conflict(row)
                yield RowRead(row._replace(fault=conflict.message), {}, [conflict])
            elif place is not None:
                self.skipped[place] += 1
            elif row.fault is not None:
                yield RowRead(row, {}, [_describe_fault(row)])
            else:
                yield self._read_row(row)

    def _is_fail_like(self, row: TableRow, rule: SkipMatch) -> bool:
        """Return true for a row with a CUSIP and a quantity that only a beginning would skip."""
        if row.fault is not None or rule.fits_whole(row):
            return False
        values = [
            reader.read(row.cells).value
            for field in ("cusip", "qty")
            if (reader := self._by_field.get(field)) is not None
        ]
        match values:
            case [str() as security, int() as qty]:
                return qty != 0 and cusip.is_valid(security)
        return False

    def _sight_numbers(self, rules: Sequence[SkipMatch]) -> Iterator[Sighting]:
        """Read the table again, for its numbers alone."""
        rows = self._table.rows()
        find_header(rows, self._table, self._mapping, self._map_name)
        readers = [each for each in self._readers if isinstance(each, ColumnReader)]
        for row in rows:
            if row.fault is None and not any(rule.fits(row) for rule in rules):
                yield from filter(None, (reader.sight(row) for reader in readers))

    def admit(self, each: RowRead, seen: SeenIds) -> bytes | Damage:
        """Check a record as `finops run` does. `seen` are the names of the records before it."""
        row, record, problems = each
        name = self._table.name
        if row.fault is not None:
            return Damage(name, row.line, tuple(problems))
        names = None if problems else seen
        imported = admit(record, name, row.line, names, inputs=self._inputs)
        if not isinstance(imported, Damage) and not problems:
            return imported
        reported = {problem.path for problem in problems}
        found = imported.problems if isinstance(imported, Damage) else ()
        if problems:
            reported.add(NO_MOMENT)  # a command may have the moment: --as-of
        more = [self._explain(each, row) for each in found if each.path not in reported]
        return Damage(name, row.line, (*problems, *more))

    def notes(self) -> list[str]:
        """Describe what was left out, repaired and assumed, one sentence each."""
        header = self._mapping.rows.header or 1
        notes = []
        if header > 1:
            were = "was" if header == 2 else "were"
            notes.append(f"{_count(header - 1, 'line')} above the header {were} left out")
        for place, count in sorted(self.skipped.items()):
            rule = self._mapping.rows.skip[place]
            texts = " or ".join(map(repr, rule.is_))
            notes.append(f"{_count(count, 'row')} skipped: column {rule.column!r} is {texts}")
        for (field, repair), count in sorted(self.repaired.items()):
            notes.append(f"{field}: {_count(count, 'cell')} repaired by {repair}")
        for field, count in sorted(self.defaults.items()):
            notes.append(f"{field}: {_count(count, 'empty cell')} took the default")
        return notes + [note for mix in self._mixes.values() if (note := mix.note())]

    def _read_row(self, row: TableRow) -> RowRead:
        fields: dict[str, Any] = {}
        problems: list[Problem] = []
        repaired: dict[str, list[str]] = {}
        assumed = list(self._constants)
        for reader in self._readers:
            value, problem, names, is_default = reader.read(row.cells)
            if problem is not None:
                problems.append(problem)
            elif value is not None:
                fields[reader.field] = value
                mix = self._mixes.get(reader.field)
                if mix is not None and not is_default:
                    mix.add(row.line, row.cells[mix.position], value)
                if names:
                    repaired[reader.field] = list(names)
                if is_default:
                    assumed.append(reader.field)
                    self.defaults[reader.field] += 1
        for field, each in repaired.items():
            self.repaired.update((field, name) for name in each)
        record = nest({**fields, **self._constants})
        given_origin = record.pop("origin", {})  # written last, as every importer does
        record["origin"] = {**self._origin(row.line), **given_origin}
        if assumed:
            record["origin"]["assumed"] = assumed
        if repaired:
            record["origin"]["repaired"] = repaired
        return RowRead(row, record, problems)

    def _origin(self, line: int) -> dict[str, Any]:
        source = self._table.source
        sheet = {} if source.sheet is None else {"sheet": source.sheet}
        return {"source": source.kind, "file": source.file, **sheet, "line": line}

    def _explain(self, problem: Problem, row: TableRow) -> Problem:
        """Name the column in a problem of a record field."""
        reader = self._by_field.get(problem.path[1:].replace("/", "."))
        return problem if reader is None else reader.explain(problem, row.cells)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _describe_fault(row: TableRow) -> Problem:
    return Problem(
        rule="schema.format",
        path="",
        value=str(row.fault),
        accepted=_A_ROW,
        message=f"the row {row.fault}; accepted: {_A_ROW}",
    )
