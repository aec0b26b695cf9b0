"""Reads the cells of a row for one field of a record, by its column or by rules over several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from finops_cli.domain.finding import Problem
from finops_cli.domain.money import plain
from finops_cli.importers import dates
from finops_cli.importers.mapped_rows import repairs
from finops_cli.importers.mapped_rows.cells import (
    NUMBERS,
    UNITS,
    Kind,
    Value,
    accepted_dates,
    cell_of,
    full_name,
    to_whole,
    truth,
)
from finops_cli.importers.mapped_rows.comma_evidence import CommaDoubt, Sighting, is_in_doubt
from finops_cli.importers.mapped_rows.mapping import Column, DecisionRule
from finops_cli.importers.mapped_rows.number_text import (
    EUROPEAN_MARKS,
    US_MARKS,
    Marks,
    Number,
    NumberFault,
    multiply,
    parse_number,
)
from finops_cli.importers.tables.table import CellFault, CellValue, Percentage, TableRow
from finops_cli.verify.schemas import show_value

_UNDECODABLE = "\ufffd"
_READINGS = 1024
"""The texts of a column whose readings are kept: most columns repeat a few."""
_CASED = frozenset({"symbol", "origin.symbol"})
"""Fields in which NAN is a name and nan is a blank."""
_ONE = Decimal(1)
_OF_ONE_FAIL = ("cusip", "qty", "market_value")
"""Fields for which no default fits each row."""


class Notation(NamedTuple):
    """How a file writes its values."""

    marks: Marks | None
    formats: tuple[str, ...]
    blanks: frozenset[str]
    doubt: CommaDoubt | None = None
    """Settles whether 12,000 is twelve thousand; None where the mapping or nothing does."""


class Reading(NamedTuple):
    """The value of a cell, or why it has none. None for both: the cell is empty."""

    value: Value | None = None
    problem: Problem | None = None
    repairs: tuple[str, ...] = ()
    is_default: bool = False


class TextMatch:
    """Texts that a cell may have; `*` at the end matches a beginning, and capitals do not count."""

    def __init__(self, texts: Iterable[str]) -> None:
        folded = [tidy(text).casefold() for text in texts]
        self._exact = frozenset(text for text in folded if not text.endswith("*"))
        self._prefixes = tuple(text[:-1] for text in folded if text.endswith("*"))

    def fits(self, value: CellValue) -> bool:
        """Return true when the cell has one of the texts."""
        text = tidy(text_of(value)).casefold()
        return text in self._exact or text.startswith(self._prefixes)


def tidy(text: str) -> str:
    """Return a text with each white space, line breaks too, as one blank."""
    return " ".join(text.split())


def text_of(value: CellValue) -> str:
    """Return the text of a cell, as a CSV file would have it."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, Decimal):
        return plain(value) + "%" * isinstance(value, Percentage)
    if isinstance(value, CellFault):
        return value.text
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return value.isoformat()


class ColumnReader:
    """Reads the cells of one column."""

    def __init__(self, field: str, column: Column, position: int, notation: Notation) -> None:
        self.field = full_name(field)
        self.column = column
        self._position = position
        self._cell = cell_of(field)
        self._marks = notation.marks
        self._formats = notation.formats
        self._doubt = notation.doubt
        self._folds = self.field not in _CASED
        self._blanks = frozenset(map(self._fold, (*notation.blanks, *column.blanks, "")))
        self._longest_blank = max(map(len, self._blanks))
        self._repairs = frozenset(column.repairs)
        self._scale = column.scale or _ONE
        self._sign = column.sign
        default = (column.default or "").strip()
        self._default = self._cell.parse(default) if default else None
        self._accepted = self._describe_accepted()
        self._read_text = lru_cache(_READINGS)(self._read_new_text)

    def read(self, cells: Sequence[CellValue]) -> Reading:
        """Read the cell of a row."""
        value = cells[self._position] if self._position < len(cells) else None
        if isinstance(value, str):
            return self._read_text(value)
        return self._read_typed(value)

    def sight(self, row: TableRow) -> Sighting | None:
        """Return the text of a cell that holds a number; None for another cell."""
        value = _at(row.cells, self._position)
        if self._cell.kind not in NUMBERS or self.column.values or not isinstance(value, str):
            return None
        return Sighting(row.line, self.column.column, value.strip())

    def explain(self, problem: Problem, cells: Sequence[CellValue]) -> Problem:
        """Add the column, and the mapping key that would help, to a problem of the record."""
        text = text_of(_at(cells, self._position))
        fix = self._find_fix(problem, text)
        says = " is empty, so that" if problem.rule == "schema.required" and not text else ":"
        message = f"column {self.column.column!r}{says} {problem.message}"
        return replace(problem, message=f"{message}; fix: {fix}" if fix else message)

    def _fold(self, text: str) -> str:
        return text.casefold() if self._folds else text

    def _describe_accepted(self) -> str:
        if self.column.values:
            return ", ".join(text or "(empty)" for text in self.column.values)
        if self._cell.kind in (Kind.DATE, Kind.MOMENT):
            return accepted_dates(self._cell, self._formats)
        return self._cell.accepted

    def _read_new_text(self, given: str) -> Reading:
        text = given.strip()
        if _UNDECODABLE in text:
            return self._refuse("schema.format", text, accepted="text in the encoding of the file")
        names: tuple[str, ...] = ()
        if self._repairs:
            text, names = repairs.repair_text(text, self._repairs)
        values = self.column.values
        if values and text in values:
            meant = values[text].strip()
            return Reading(self._cell.parse(meant) if meant else None, repairs=names)
        if len(text) <= self._longest_blank and self._fold(text) in self._blanks:
            return self._read_blank()
        if values:
            return self._refuse("schema.enum", text, fix=self._offer_values(text))
        try:
            return self._parse(text, names)
        except (NumberFault, dates.DateFault) as fault:
            fix = fault.fix or self._offer_repairs(text)
            return self._refuse("schema.type", text, why=fault.why, fix=fix)
        except (ValueError, ArithmeticError):
            fix = self._offer_repairs(text) or self._offer_values(text)
            return self._refuse("schema.type", text, fix=fix)

    def _read_blank(self) -> Reading:
        if "" in self.column.values:
            meant = self.column.values[""].strip()
            return Reading(self._cell.parse(meant) if meant else None)
        return Reading(self._default, is_default=self._default is not None)

    def _parse(self, text: str, names: tuple[str, ...]) -> Reading:
        """Read a text that is not blank. Raises ValueError."""
        kind = self._cell.kind
        if kind is Kind.TEXT:
            return self._parse_text(text, names)
        if kind in NUMBERS:
            number = parse_number(text, self._marks)
            if self._doubt is not None and is_in_doubt(text):
                self._settle(text, self._doubt)
            return Reading(self._to_value(number), None, names)
        if kind is Kind.DATE:
            return Reading(dates.read_day(text, self._formats), None, names)
        if kind is Kind.MOMENT:
            return Reading(dates.read_moment(text, self._formats), None, names)
        return Reading(truth(text), None, names)

    def _settle(self, text: str, doubt: CommaDoubt) -> None:
        """Raise NumberFault where the comma may be decimal in this file."""
        found = doubt.contradiction()
        if found is not None:
            raise NumberFault(
                f"where the comma may be decimal, as in line {found.line}, column"
                f" {found.column!r}: {found.text}",
                f"write {EUROPEAN_MARKS.describe()} or {US_MARKS.describe()} in the mapping",
            )

    def _parse_text(self, text: str, names: tuple[str, ...]) -> Reading:
        if not self._repairs:
            return Reading(text)
        found = repairs.repair_value(text, self._repairs, self.field)
        if len(found) > 1:
            meanings = " or ".join(f"{each.text} ({each.names[-1]})" for each in found)
            fix = "keep one of the two repairs in the mapping"
            return self._refuse("schema.format", text, why=f"which may be {meanings}", fix=fix)
        return Reading(found[0].text, None, (*names, *found[0].names))

    def _to_value(self, number: Number) -> Value:
        """Apply unit, sign and scale. Raises NumberFault."""
        value, unit = number
        if unit and unit not in UNITS[self._cell.kind]:
            raise NumberFault(f"a number with the unit {unit!r}")
        if self._scale != _ONE:
            if unit.strip("$"):
                raise NumberFault(
                    f"a number with the unit {unit!r}, which the mapping multiplies by"
                    f" {plain(self._scale)}",
                    "leave scale out of the mapping of this column, or map cells without a unit",
                )
            value = multiply(value, self._scale)
        if self._sign == "drop":
            value = value.copy_abs()
        elif self._sign == "negate" and value:
            value = value.copy_negate()
        return to_whole(value) if self._cell.kind is Kind.SHARES else value

    def _read_typed(self, value: CellValue) -> Reading:
        """Read a cell of a workbook, which is not text."""
        kind = self._cell.kind
        if value is None:
            return self._read_blank()
        if isinstance(value, CellFault):
            return self._refuse("schema.type", value.text, why=value.why, fix=value.cure)
        if self.column.values or kind is Kind.TEXT:
            return self._read_text(text_of(value))
        if isinstance(value, bool):
            if kind is Kind.TRUTH:
                return Reading(value)
        elif isinstance(value, Decimal):
            if kind in NUMBERS:
                try:
                    unit = "%" if isinstance(value, Percentage) else ""
                    return Reading(self._to_value(Number(Decimal(value), unit)))
                except NumberFault as fault:
                    return self._refuse("schema.type", plain(value), why=fault.why, fix=fault.fix)
        elif kind is Kind.DATE and isinstance(value, date):
            return Reading(value.isoformat()[:10])
        elif kind is Kind.MOMENT and isinstance(value, date):
            return Reading(_format_moment(value))
        return self._read_text(text_of(value))

    def _refuse(
        self, rule: str, text: str, *, accepted: str = "", why: str = "", fix: str = ""
    ) -> Reading:
        shown, accepted = show_value(text), accepted or self._accepted
        message = f"{self._name()} is {shown}{', ' if why else ''}{why}; accepted: {accepted}"
        problem = Problem(
            rule=rule,
            path=f"/{self.field.replace('.', '/')}",
            value=shown,
            accepted=accepted,
            message=f"{message}; fix: {fix}" if fix else message,
        )
        return Reading(problem=problem)

    def _name(self) -> str:
        return f"column {self.column.column!r} ({self.field})"

    def _find_fix(self, problem: Problem, text: str) -> str:
        """Return the key of the mapping that would help with a value that the record refuses."""
        kind = self._cell.kind
        if self._fold(text) in self._blanks:
            is_missing = problem.rule == "schema.required"
            return self._fill_in() if is_missing else ""
        if fix := self._offer_repairs(text):
            return fix
        if kind in NUMBERS and problem.value.startswith("-") and self.column.sign == "keep":
            return "write sign: drop, or sign: negate, for this column in the mapping"
        if problem.rule in ("schema.enum", "schema.format") and self.field not in _OWN_NUMBERS:
            return self._offer_values(text)
        return ""

    def _fill_in(self) -> str:
        """Say what to do with an empty cell: some facts have no value that fits each row."""
        if self.field in _OF_ONE_FAIL:
            return "fill in the cell, or leave the row out with rows: skip in the mapping"
        return "fill in the cell, or write default: VALUE for this column in the mapping"

    def _offer_repairs(self, text: str) -> str:
        """Name the repairs that would read `text`."""
        if self.field in _OWN_NUMBERS and repairs.is_scientific(text):
            return (
                "the number has lost digits: format the column as text in the spreadsheet, and save"
                " the file again"
            )
        offers = [
            f"repairs: [{', '.join(dict.fromkeys([*self.column.repairs, *names]))}]"
            for names in repairs.list_fitting(text, self._repairs, self.field)
        ]
        return f"write {' or '.join(offers)} for this column in the mapping" if offers else ""

    def _offer_values(self, text: str) -> str:
        return f"write values: {{{show_value(text)}: VALUE}} for this column in the mapping"


_OWN_NUMBERS = frozenset({"cusip", "corporate_action.new_cusip"})


def _format_moment(value: date | datetime) -> str:
    text = value.isoformat(timespec="seconds") if isinstance(value, datetime) else value.isoformat()
    return text.removesuffix("T00:00:00").removesuffix(":00")


class DecisionReader:
    """Reads a field by rules over several columns; the first rule that fits holds."""

    def __init__(self, field: str, rules: Sequence[tuple[DecisionRule, Sequence[int]]]) -> None:
        """Keep the rules, each with the positions of its columns."""
        self.field = full_name(field)
        self._columns = list(dict.fromkeys(name for rule, _ in rules for name in rule.if_))
        self._positions = {
            name: position
            for rule, positions in rules
            for name, position in zip(rule.if_, positions, strict=True)
        }
        parse = cell_of(field).parse
        self._rules = [
            (
                [(self._positions[name], TextMatch(texts)) for name, texts in rule.if_.items()],
                Reading(parse(rule.then.strip()) if rule.then.strip() else None),
            )
            for rule, _ in rules
        ]

    def read(self, cells: Sequence[CellValue]) -> Reading:
        """Return the value of the first rule that fits the row, if its cells can be read."""
        if any(_is_unreadable(_at(cells, place)) for place in self._positions.values()):
            return self._refuse("cannot be decided by", "cells that can be read", cells)
        for conditions, reading in self._rules:
            if all(match.fits(_at(cells, position)) for position, match in conditions):
                return reading
        return self._refuse(
            "no rule fits",
            "cells that a rule under `when` fits; fix: write a rule for these cells, or a last rule"
            " {then: VALUE}, in the mapping",
            cells,
        )

    def _refuse(self, what: str, accepted: str, cells: Sequence[CellValue]) -> Reading:
        seen = self._describe(cells)
        message = f"{self.field}: {what} {seen}; accepted: {accepted}"
        problem = Problem(
            rule="schema.enum",
            path=f"/{self.field.replace('.', '/')}",
            value=seen,
            accepted=accepted,
            message=message,
        )
        return Reading(problem=problem)

    def explain(self, problem: Problem, cells: Sequence[CellValue]) -> Problem:
        """Add the cells that decided to a problem of the record."""
        return replace(problem, message=f"{self._describe(cells)}: {problem.message}")

    def _describe(self, cells: Sequence[CellValue]) -> str:
        return ", ".join(
            f"column {name!r} {show_value(text_of(_at(cells, self._positions[name])))}"
            for name in self._columns
        )


def _at(cells: Sequence[CellValue], position: int) -> CellValue:
    return cells[position] if position < len(cells) else None


def _is_unreadable(value: CellValue) -> bool:
    return isinstance(value, CellFault) or (isinstance(value, str) and _UNDECODABLE in value)


FieldReader = ColumnReader | DecisionReader
