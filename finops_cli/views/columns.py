"""Lines up rows in columns, and breaks them where the terminal is too narrow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from textwrap import wrap

from msgspec import Struct

_GAP = "  "
_WIDEST = 32
"""A longer cell moves only its own row."""
_NARROWEST = 40


class Row(Struct, frozen=True):
    """Cells of columns, and notes that follow them."""

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()
    paints: Mapping[int, Callable[[str], str]] = {}
    """Gives the cell at a place its colour. A cell that is broken over lines has none."""


class Columns:
    """Columns as wide as the cells of `rows`; a long row goes on in an indented line."""

    def __init__(
        self,
        rows: Sequence[Row],
        width: int,
        indent: int,
        right: Collection[int] = (),
        *,
        widest: int = _WIDEST,
    ) -> None:
        self._width, self._indent, self._right = max(width, _NARROWEST), " " * indent, right
        columns = list(zip(*(row.cells for row in rows), strict=True))
        self._used = [any(cells) for cells in columns]
        self._sizes = [
            max((len(cell) for cell in cells if len(cell) <= widest), default=0)
            for cells in columns
        ]

    def render(self, row: Row) -> Iterator[str]:
        """Yield the lines of `row`."""
        line = painted = ""
        for place, cell in (*self._pad(row), *((None, note) for note in row.notes)):
            if len(line) + len(cell.rstrip()) > self._width and line.strip():
                yield from self._wrap(line, painted)
                line = painted = self._indent
            paint = None if place is None else row.paints.get(place)
            line += cell + _GAP
            painted += (cell if paint is None else _paint_text(cell, paint)) + _GAP
        if line.strip():
            yield from self._wrap(line, painted)

    def _pad(self, row: Row) -> Iterator[tuple[int, str]]:
        """Yield the cells of columns that are not empty, each as wide as its column."""
        for place, cell in enumerate(row.cells):
            if self._used[place]:
                sign = ">" if place in self._right else "<"
                yield place, f"{cell:{sign}{self._sizes[place]}}"

    def _wrap(self, line: str, painted: str) -> Iterator[str]:
        text = line.rstrip()
        if len(text) <= self._width:
            yield painted.rstrip()
        else:
            yield from fill_lines(text, self._width, self._indent)


def _paint_text(cell: str, paint: Callable[[str], str]) -> str:
    """Colour the text of a cell, and none of the blanks around it."""
    text = cell.strip()
    return cell.replace(text, paint(text), 1) if text else cell


def fill_lines(text: str, width: int, indent: str = "") -> Iterator[str]:
    """Yield `text` in lines of at most `width` characters; those after the first are indented.

    A line of words with single blanks is broken here, like textwrap would and in a tenth of its
    time: a list has a sentence for each fail.
    """
    width = max(width, _NARROWEST)
    if not text.isprintable() or "  " in text or text != text.strip():
        yield from wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
        return
    if len(text) <= width:
        if text:
            yield text
        return
    words = text.split(" ")
    if max(map(len, words)) > width - len(indent):
        yield from wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
        return
    line = words[0]
    for word in words[1:]:
        if len(line) + 1 + len(word) > width:
            yield line
            line = indent + word
        else:
            line += f" {word}"
    yield line
