"""Read entries of the knowledge base as the numbers, words and tables that the chapters need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar, get_args

from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries
from finops_cli.kb.bands import BandTable

E = TypeVar("E")
_HIGHEST = 10**15
_HIGHEST_SCORE = 100
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def entry_fault(id: str, field: str, value: object, expected: str) -> KnowledgeError:
    """The error of a field of the entry `id` that has an unusable value."""
    return KnowledgeError(f"kb entry {id}: {field} is {value}. Expected {expected}.")


def parse_date(id: str, text: str, field: str = "a date") -> date:
    """Read a date in a field of the entry `id`. Raises KnowledgeError."""
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise entry_fault(id, field, text, "a day that exists, YYYY-MM-DD") from error


def parse_whole(id: str, field: str, value: Decimal, lowest: int, highest: int) -> int:
    """Read a whole number in a field of the entry `id`. Raises KnowledgeError."""
    if value != int(value) or not lowest <= value <= highest:
        raise entry_fault(id, field, value, f"a whole number from {lowest:,} to {highest:,}")
    return int(value)


class Compiler:
    """Reads entries by id. Raises KnowledgeError naming the entry when one is missing or of
    the wrong kind.

    `used` collects the ids that the code reads, so that a test can find numbers that nothing uses.
    """

    def __init__(self, all_entries: Mapping[str, entries.AnyEntry]) -> None:
        self._entries = all_entries
        self.used: set[str] = set()

    def _entry(self, id: str, kind: type[E]) -> E:
        entry = self._entries.get(id)
        wanted = kind.__name__.lower()
        if entry is None:
            raise KnowledgeError(f"kb entry {id} is missing. Expected an entry of kind {wanted}.")
        if not isinstance(entry, kind):
            raise KnowledgeError(
                f"kb entry {id} is of kind {type(entry).__name__.lower()}. Expected kind {wanted}."
            )
        self.used.add(id)
        return entry

    def number(self, id: str, highest: int = _HIGHEST) -> Decimal:
        value = self._decimal(id, self._entry(id, entries.Number).value)
        if value > highest:
            raise KnowledgeError(
                f"kb entry {id}: {value} is given. Expected a number from 0 to {highest:,}."
            )
        return value

    def whole(self, id: str, highest: int = _HIGHEST) -> int:
        value = self.number(id, highest)
        if value != int(value):
            raise KnowledgeError(f"kb entry {id}: {value} is given. Expected a whole number.")
        return int(value)

    def choice(self, id: str, words_allowed: object) -> str:
        value = self._entry(id, entries.Choice).value
        self._check_words(id, [value], words_allowed)
        return value

    def switch(self, id: str) -> bool:
        return self._entry(id, entries.Switch).value

    def numbers(
        self, id: str, keys: tuple[str, ...], highest: int = _HIGHEST
    ) -> dict[str, Decimal]:
        found = self._members(id, keys)
        numbers = {key: self._decimal(id, value) for key, value in found.items()}
        if any(value > highest for value in numbers.values()):
            raise KnowledgeError(
                f"kb entry {id}: {max(numbers.values())} is given. Expected numbers from 0 to"
                f" {highest:,}."
            )
        return numbers

    def scores(self, id: str, keys: tuple[str, ...]) -> dict[str, Decimal]:
        """Numbers that scores are made of: small enough that no product of them leaves the range
        that an answer may have.
        """
        return {key: self._score(id, value) for key, value in self.numbers(id, keys).items()}

    def score_bands(self, id: str) -> BandTable[Decimal]:
        """A table of scores. Equal values get one spelling, so that 10 and 10.0 print alike."""
        entry = self._entry(id, entries.Bands)
        values = [self._score(id, self._decimal(id, row.value)) for row in entry.rows]
        first_spelling: dict[Decimal, Decimal] = {}
        return BandTable(entry, tuple(first_spelling.setdefault(value, value) for value in values))

    @staticmethod
    def _score(id: str, value: Decimal) -> Decimal:
        if value > _HIGHEST_SCORE:
            raise KnowledgeError(
                f"kb entry {id}: {value} is given. Expected a number from 0 to {_HIGHEST_SCORE}."
            )
        return value

    def wholes(self, id: str, keys: tuple[str, ...], highest: int = _HIGHEST) -> dict[str, int]:
        numbers = self.numbers(id, keys, highest).items()
        return {key: parse_whole(id, key, value, 0, highest) for key, value in numbers}

    def floats(self, id: str, keys: tuple[str, ...]) -> dict[str, float]:
        """Seconds and the like, which no score is made of."""
        return {key: float(value) for key, value in self.numbers(id, keys).items()}

    def words(self, id: str) -> frozenset[str]:
        """The words of a list that a desk may lengthen or shorten."""
        return frozenset(self._entry(id, entries.Words).members)

    def quantiles(self, id: str) -> tuple[Decimal, ...]:
        points = tuple(self._entry(id, entries.Quantiles).points)
        if len(points) < 2 or list(points) != sorted(points):
            raise KnowledgeError(
                f"kb entry {id}: the points do not rise. Expected two or more, from the smallest to"
                " the largest."
            )
        return points

    def texts(self, id: str, keys: tuple[str, ...], words_allowed: object = None) -> dict[str, str]:
        found = {key: str(value) for key, value in self._members(id, keys).items()}
        if words_allowed is not None:
            self._check_words(id, list(found.values()), words_allowed)
        return found

    def table(self, id: str) -> dict[str, str]:
        """A table of texts whose keys a desk may choose."""
        members = self._entry(id, entries.Lookup).members
        wrong = [key for key, value in members.items() if not isinstance(value, str)]
        if wrong:
            raise KnowledgeError(
                f"kb entry {id}: {wrong[0]} is {members[wrong[0]]}. Expected a text in quotes."
            )
        return dict(members)

    def number_table(self, id: str) -> dict[str, Decimal]:
        """A table of numbers whose keys a desk may choose."""
        members = self._entry(id, entries.Lookup).members
        return {key: self._decimal(id, value) for key, value in members.items()}

    def word_bands(self, id: str, words_in_order: object) -> BandTable[str]:
        entry = self._entry(id, entries.Bands)
        values = tuple(str(row.value) for row in entry.rows)
        if values != get_args(words_in_order):
            raise KnowledgeError(
                f"kb entry {id}: the values are {', '.join(values)}. Expected"
                f" {', '.join(get_args(words_in_order))}, in this order."
            )
        return BandTable(entry, values)

    def _members(self, id: str, keys: tuple[str, ...]) -> dict[str, Any]:
        members = self._entry(id, entries.Lookup).members
        lacking = [key for key in keys if key not in members]
        unknown = [key for key in members if key not in keys]
        if lacking or unknown:
            faults = [f"{key} is missing" for key in lacking]
            faults += [f"{key} is not known" for key in unknown]
            raise KnowledgeError(
                f"kb entry {id}: {'; '.join(faults)}. Expected the members {', '.join(keys)}."
            )
        return members

    @staticmethod
    def _decimal(id: str, value: Any) -> Decimal:
        if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= _HIGHEST:
            raise KnowledgeError(
                f"kb entry {id}: {value} is given. Expected a number from 0 to {_HIGHEST:,}."
            )
        return value

    @staticmethod
    def _check_words(id: str, values: list[str], words_allowed: object) -> None:
        unknown = [value for value in values if value not in get_args(words_allowed)]
        if unknown:
            raise KnowledgeError(
                f"kb entry {id} is {unknown[0]}. Expected one of:"
                f" {', '.join(get_args(words_allowed))}."
            )
