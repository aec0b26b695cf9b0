"""Bars in the cells of a table: the table is the chart, and it reads the same without pictures.

Each bar is an SVG of its own over the whole width of its cell, from 0 to a common end, so that the
bars of the rows stand below each other as in one drawing.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

_WIDTH = 1000
_HEIGHT = 20
_BAR_TOP, _BAR_HEIGHT = 4, 12
_THINNEST = 3
"""A bar of the least size can still be seen."""


class Span(NamedTuple):
    """A stretch of a bar. `kind` is the class of its colour."""

    start: Decimal
    end: Decimal
    kind: str


def draw_bar(spans: Iterable[Span], end: Decimal, edges: Iterable[Decimal] = ()) -> str:
    """Draw stretches between 0 and `end`, and thin lines at `edges`.

    The picture is hidden from screen readers: the cells beside it say the same.
    """
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
    parts = [
        f'<svg class="bar" {box} aria-hidden="true" focusable="false">',
        f'<rect class="track" x="0" y="{_BAR_TOP}" width="{_WIDTH}" height="{_BAR_HEIGHT}"/>',
    ]
    for edge in edges:
        x = _place(edge, end)
        parts.append(f'<line class="edge" x1="{x}" x2="{x}" y1="0" y2="{_HEIGHT}"/>')
    for span in spans:
        if span.start == span.end:
            continue
        left, right = sorted((_place(span.start, end), _place(span.end, end)))
        width = max(right - left, _THINNEST)
        left = min(left, _WIDTH - width)
        parts.append(
            f'<rect class="span {span.kind}" x="{left}" y="{_BAR_TOP}" width="{width}"'
            f' height="{_BAR_HEIGHT}"/>'
        )
    return "".join(parts) + "</svg>"


def _place(value: Decimal, end: Decimal) -> int:
    """Return the place of a value on a line from 0 to `end`; what is outside stands at its ends."""
    if end <= 0:
        return 0
    return min(max(int(value * _WIDTH / end), 0), _WIDTH)
