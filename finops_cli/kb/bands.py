"""A table of bands, compiled for look-up, and the cells between the bounds of several rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import ceil
from typing import Any, Generic, NamedTuple, TypeVar

from finops_cli.errors import KnowledgeError
from finops_cli.kb import entries

V = TypeVar("V")


class Bound(NamedTuple):
    """A number at which the answer of a rule changes."""

    edge: Decimal | int
    belongs_below: bool
    """True where `edge` itself has the answer of the smaller numbers."""


class BandTable(Generic[V]):
    """`table.index(x)` is the band that x falls in, `table.values[i]` what band i is worth.

    Edges are exact.
    """

    __slots__ = ("_closed", "_edges", "values")

    def __init__(self, entry: entries.Bands, values: tuple[V, ...]) -> None:
        if not entry.rows:
            raise KnowledgeError(f"kb entry {entry.id}: a table needs rows")
        *bounded, last = entry.rows
        if (
            last.to is not None
            or last.below is not None
            or any((row.to is None) == (row.below is None) for row in bounded)
        ):
            raise KnowledgeError(
                f"kb entry {entry.id}: every row needs `to` or `below`, the last row neither"
            )
        self._edges = tuple(row.to if row.to is not None else row.below for row in bounded)
        self._closed = tuple(row.to is not None for row in bounded)
        if not all(edge is not None and edge.is_finite() for edge in self._edges):
            raise KnowledgeError(f"kb entry {entry.id}: edges must be finite numbers")
        if any(low >= high for low, high in zip(self._edges, self._edges[1:], strict=False)):  # type: ignore[operator]
            raise KnowledgeError(f"kb entry {entry.id}: rows must rise")
        self.values = values

    def index(self, x: Decimal | int) -> int:
        """The band of `x`, counted from 0."""
        i = bisect_right(self._edges, x)  # type: ignore[type-var]
        if i and self._closed[i - 1] and self._edges[i - 1] == x:
            return i - 1
        return i

    def of(self, x: Decimal | int) -> V:
        """The value of the band of `x`."""
        return self.values[self.index(x)]

    def upper_edge(self, i: int) -> tuple[Decimal, bool] | None:
        """The edge above band `i` and whether it belongs to the band; None for the last one."""
        return (self._edges[i], self._closed[i]) if i < len(self._edges) else None  # type: ignore[return-value]

    def bounds(self, *, of_whole_numbers: bool = False) -> list[Bound]:
        """The bounds between the bands. For whole numbers, "over 9" is written as "from 10"."""
        pairs = zip(self._edges, self._closed, strict=True)
        found = [Bound(edge, belongs_below) for edge, belongs_below in pairs if edge is not None]
        return [_first_whole(bound) for bound in found] if of_whole_numbers else found


def _first_whole(bound: Bound) -> Bound:
    first = ceil(bound.edge)
    return Bound(first + (bound.belongs_below and first == bound.edge), belongs_below=False)


class Cells:
    """The cells into which the bounds of several rules divide the numbers of one kind.

    All numbers of a cell get the same answer from each of these rules.
    """

    __slots__ = ("_firsts", "_lasts", "numbers")

    def __init__(self, bounds: Iterable[Bound]) -> None:
        ordered = sorted(set(bounds))
        self._firsts = [edge for edge, belongs_below in ordered if not belongs_below]
        self._lasts = [edge for edge, belongs_below in ordered if belongs_below]
        neighbours = zip([None, *ordered], [*ordered, None], strict=True)
        self.numbers: list[Any] = [_number_between(low, high) for low, high in neighbours]
        """One number of each cell. The rules answer every number of the cell as they answer it."""

    def cell(self, x: Decimal | int) -> int:
        """The cell of `x`, counted from 0: the number of bounds below it."""
        return bisect_right(self._firsts, x) + bisect_left(self._lasts, x)


def _number_between(low: Bound | None, high: Bound | None) -> Decimal | int:
    if low is None:
        return 0 if high is None else high.edge - 1
    if not low.belongs_below:
        return low.edge
    return low.edge + 1 if high is None else (low.edge + high.edge) / Decimal(2)


class LookupTable(Generic[V]):
    """A table of words: `table.of(word)` is its value."""

    __slots__ = ("_members", "values")

    def __init__(self, members: Mapping[str, V]) -> None:
        self._members = members
        self.values = tuple(members.values())

    def of(self, word: str) -> V:
        return self._members[word]


def label_bands(entry: entries.Bands) -> list[str]:
    """Name each band by its edges: below 25, from 25 to below 50, from 50."""
    labels, lower = [], ""
    for row in entry.rows:
        upper = ""
        if row.to is not None:
            upper = f"to {row.to:,}"
        elif row.below is not None:
            upper = f"to below {row.below:,}" if lower else f"below {row.below:,}"
        labels.append(f"{lower} {upper}".strip())
        if row.to is not None:
            lower = f"over {row.to:,}"
        elif row.below is not None:
            lower = f"from {row.below:,}"
    return labels
