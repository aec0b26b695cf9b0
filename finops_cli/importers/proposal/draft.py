"""The parts of a proposal while it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finops_cli.importers.mapped_rows.cells import SHORT_NAMES
from finops_cli.importers.mapped_rows.number_text import US_MARKS, Marks
from finops_cli.importers.proposal.columns import Column
from finops_cli.kb.rulebook import KnowledgeBase

_MOST_SHOWN = 3
_SHORT_NAMES = {full: short for short, full in SHORT_NAMES.items()}


class Proposed(NamedTuple):
    """A field of the mapping, with the reasons for it."""

    field: str
    given: dict[str, Any]
    """The value under `columns`, with texts for all scalars."""
    why: str
    check: str = ""
    """The doubt; empty where the evidence is strong."""


class Constant(NamedTuple):
    """A field that is equal in all records, with the reasons for it."""

    field: str
    value: str
    why: str
    check: str = ""


class Missing(NamedTuple):
    """A fact that the file does not decide, and the ways to decide it."""

    name: str
    """A field of a record, or a key of the mapping."""
    why: str
    choices: tuple[str, ...]
    is_required: bool
    """Without it, no row becomes a record."""
    option: str = ""
    """The option of a command that gives it too, such as `--as-of`."""


class Unused(NamedTuple):
    """A column that no field is read from."""

    column: str
    why: str


@dataclass
class Draft:
    """The decisions so far."""

    kb: KnowledgeBase
    columns: list[Column]
    delimiter: str | None = None
    file: str = ""
    """The name of the file, without its folder."""
    title: str = ""
    """The name of the file and the rows above its header."""
    section: str = ""
    """The row among the fails that names who delivers from there on; or empty."""
    marks: Marks = US_MARKS
    marks_why: str = ""
    """The proof of the marks; empty where the mapping does not state them."""
    marks_check: str = ""
    fields: dict[str, Proposed] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    taken: dict[int, str] = field(default_factory=dict)
    """The first field that a column gives, by the place of the column."""
    notes: dict[int, str] = field(default_factory=dict)
    """Why a column is not used, where more is known than its header says."""
    doubts: dict[int, str] = field(default_factory=dict)
    """The doubt about the cells of a column, whatever field it gives."""
    date_formats: list[str] = field(default_factory=list)
    date_why: str = ""

    def propose(
        self, field_name: str, column: Column, why: str, *, check: str = "", **more: Any
    ) -> None:
        """Read `field_name` from `column`; `more` are the other keys of the mapping."""
        self.fields[field_name] = Proposed(field_name, {"column": column.name, **more}, why, check)
        self.taken.setdefault(column.index, field_name)

    def column_of(self, field_name: str) -> Column:
        """Return the column from which a field is read."""
        name = self.fields[field_name].given["column"]
        return next(column for column in self.columns if column.name == name)

    @staticmethod
    def make(field_name: str, given: dict[str, Any], why: str, check: str) -> Proposed:
        """Make the proposal of a field that is not simply a column."""
        return Proposed(field_name, given, why, check)

    def assume(self, field_name: str, value: str, why: str, *, check: str = "") -> None:
        """Give a field one value in all records."""
        self.constants[field_name] = Constant(field_name, value, why, check)

    def ask(
        self, name: str, why: str, *choices: str, is_required: bool = False, option: str = ""
    ) -> None:
        """List what the file does not decide."""
        self.missing.append(Missing(name, why, choices, is_required, option))

    def candidates(self, field_name: str, fits: Callable[[Column], bool]) -> list[Candidate]:
        """Return the free columns that may give a field, the best first.

        A column whose header is a better match for another field comes later.
        """
        found = []
        for column in self.columns:
            if column.index in self.taken or column.is_blank or not fits(column):
                continue
            found += [
                Candidate(column, match.rank, match.is_weak)
                for match in column.meaning.matches
                if match.field == field_name
            ]
        return sorted(found, key=lambda each: (each.is_weak, each.rank, each.column.index))

    def checks(self) -> tuple[str, ...]:
        """Return what rests on weak evidence, each with its field."""
        found = [(each.field, each.check) for each in self.fields.values()]
        found += [(each.field, each.check) for each in self.constants.values()]
        found.append(("numbers", self.marks_check))
        return tuple(f"{short_name(name)}: {check}" for name, check in found if check)

    def unused(self) -> tuple[Unused, ...]:
        """Return the columns that no field is read from, each with the reason."""
        return tuple(
            Unused(column.name, self._reason(column))
            for column in self.columns
            if not self.taken.get(column.index)
        )

    def _reason(self, column: Column) -> str:
        if column.index in self.notes:
            return self.notes[column.index]
        if column.is_blank:
            return "empty in all rows that were read"
        if column.meaning.reason:
            return column.meaning.reason
        if not column.header:
            return "it has no header"
        named = [match.field for match in column.meaning.matches]
        if not named:
            return f"finops does not know this header; cells such as {show_values(column.distinct)}"
        others = [name for name in named if self.has(name)]
        if others:
            return f"{others[0]} is read from another column"
        return f"its cells, such as {show_values(column.filled[:1])}, do not fit {named[0]}"

    def has(self, *names: str) -> bool:
        """Return true when each of the fields is proposed, from a column or as a constant."""
        return all(name in self.fields or name in self.constants for name in names)


class Candidate(NamedTuple):
    """A column that may give a field."""

    column: Column
    rank: int
    is_weak: bool


def show_values(texts: Iterable[str]) -> str:
    """Show the first values of a column, each in quotes."""
    values = list(dict.fromkeys(texts))
    more = ", ..." if len(values) > _MOST_SHOWN else ""
    return ", ".join(repr(value) for value in values[:_MOST_SHOWN]) + more


def explain_words(values: Mapping[str, str]) -> str:
    """Say what the words of a column mean, but for those that a record has itself."""
    told = [f"{text} is {meaning}" for text, meaning in values.items() if text != meaning]
    return ", ".join(told) or f"words such as {show_values(values)}"


def count(number: int, noun: str) -> str:
    """Write a count with its noun: 1 cell, 2 cells."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_name(field_name: str) -> str:
    """Return the short name that a mapping may use: `trade_date` for `clock_facts.trade_date`."""
    return _SHORT_NAMES.get(field_name, field_name)
