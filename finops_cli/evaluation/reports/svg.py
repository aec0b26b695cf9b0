"""Render plots as inline SVG: proportions with their intervals, and confusion matrices.

The plots use no script, no web font and no external resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

from finops_cli.evaluation.metrics import NO_ANSWER, Matrix
from finops_cli.evaluation.stats import Proportion

_LABEL, _PLOT, _NUMBERS, _ROW = 300, 300, 270, 24
_CELL_WIDTH, _CELL_HEIGHT, _SIDE, _HEAD = 104, 30, 210, 46
_FULL, _ONE_LINE = 100, 13
_DARK = Decimal("0.6")
_QUARTERS = (0, 25, 50, 75, 100)


class Bar(NamedTuple):
    """A named proportion."""

    name: str
    share: Proportion
    note: str = ""
    """A note printed after the numbers."""
    bad: bool = False


def bars(rows: Sequence[Bar], title: str) -> str:
    """Draw proportions from 0 to 100 %, each with the whisker of its interval and its numbers."""
    height = _ROW * len(rows) + 30
    parts = [_open(_LABEL + _PLOT + _NUMBERS, height, title), *_grid(height)]
    for place, row in enumerate(rows):
        parts += _bar(row, place * _ROW + 4)
    return "".join(parts) + "</svg>"


def _grid(height: int) -> Iterable[str]:
    for quarter in _QUARTERS:
        x = _LABEL + quarter * _PLOT // _FULL
        yield f'<line class=grid x1="{x}" y1="0" x2="{x}" y2="{height - 22}"/>'
        yield f'<text class=axis x="{x}" y="{height - 6}" text-anchor="middle">{quarter} %</text>'


def _bar(row: Bar, y: int) -> Iterable[str]:
    middle = y + 8
    yield f'<text x="{_LABEL - 10}" y="{middle + 4}" text-anchor="end">{escape(row.name)}</text>'
    share = row.share
    if share.pct is None or share.low_pct is None or share.high_pct is None:
        yield (
            f'<text class=axis x="{_LABEL + 8}"'
            f' y="{middle + 4}">{escape(_with_note("none to count", row.note))}</text>'
        )
        return
    kind = "bad" if row.bad else "good"
    yield (
        f'<rect class={kind} x="{_LABEL}" y="{y + 2}" width="{_x(share.pct)}" height="13" rx="2"/>'
    )
    low, high = _LABEL + _x(share.low_pct), _LABEL + _x(share.high_pct)
    yield (
        f'<path class=whisker d="M{low} {middle - 4}V{middle + 5}M{low} {middle}H{high}M{high}'
        f' {middle - 4}V{middle + 5}"/>'
    )
    told = _with_note(f"{share.count:,} of {share.of:,}, {_short(share.pct)} %", row.note)
    yield f'<text class=axis x="{_LABEL + _PLOT + 16}" y="{middle + 4}">{escape(told)}</text>'


def _with_note(numbers: str, note: str) -> str:
    return f"{numbers}; {note}" if note else numbers


def _x(percent: Decimal) -> Decimal:
    return (percent * _PLOT / _FULL).quantize(Decimal("0.1"))


def _short(percent: Decimal) -> Decimal:
    return percent.quantize(Decimal("0.1"))


def matrix(counts: Matrix, order: Sequence[str], title: str) -> str:
    """Draw the counts by expected value (rows) and answered value (columns).

    Right answers are on the diagonal. The shade of a cell is its proportion of the row.
    """
    said = [name for name in order if any(name in row for row in counts.values())]
    expected = [name for name in order if name in counts]
    columns = [*said, *sorted({name for row in counts.values() for name in row} - set(order))]
    width = _SIDE + _CELL_WIDTH * len(columns) + 10
    parts = [_open(width, _HEAD + 4 + _CELL_HEIGHT * len(expected), title)]
    parts.append(
        f'<text class=axis x="{_SIDE - 10}" y="14" text-anchor="end">rows: expected; columns:'
        " said</text>"
    )
    for j, name in enumerate(columns):
        x = _SIDE + j * _CELL_WIDTH + _CELL_WIDTH // 2
        for line, words in enumerate(_two_lines(name)):
            parts.append(
                f'<text class=head x="{x}" y="{24 + 14 * line}"'
                f' text-anchor="middle">{escape(words)}</text>'
            )
    for i, name in enumerate(expected):
        parts += _matrix_row(name, counts[name], columns, _HEAD + i * _CELL_HEIGHT)
    return "".join(parts) + "</svg>"


def _matrix_row(name: str, row: dict[str, int], columns: Sequence[str], y: int) -> Iterable[str]:
    total = sum(row.values())
    yield f'<text x="{_SIDE - 10}" y="{y + 19}" text-anchor="end">{escape(name)}</text>'
    for j, column in enumerate(columns):
        count, x = row.get(column, 0), _SIDE + j * _CELL_WIDTH
        kind = "good" if column == name else "none" if column == NO_ANSWER else "bad"
        shade = (Decimal(count) / total).quantize(Decimal("0.01")) if total else Decimal(0)
        yield (
            f'<rect class=cell x="{x}" y="{y}" width="{_CELL_WIDTH - 2}"'
            f' height="{_CELL_HEIGHT - 2}"/>'
        )
        if count:
            tint = max(shade, Decimal("0.12"))
            yield (
                f'<rect class={kind} opacity="{tint}" x="{x}" y="{y}" width="{_CELL_WIDTH - 2}"'
                f' height="{_CELL_HEIGHT - 2}"/>'
            )
            pale = " class=pale" if kind != "none" and tint > _DARK else ""
            yield (
                f'<text{pale} x="{x + _CELL_WIDTH // 2}" y="{y + 19}"'
                f' text-anchor="middle">{count:,}</text>'
            )


def _two_lines(name: str) -> tuple[str, ...]:
    """Split a long heading into two lines, so that it fits over its column."""
    if len(name) <= _ONE_LINE or "_" not in name:
        return ("", name)
    at = min(
        (i for i, sign in enumerate(name) if sign == "_"), key=lambda i: abs(2 * i - len(name))
    )
    return (name[:at], name[at:])


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        f' aria-label="{escape(title)}">'
    )
