"""Small charts of the last hour: their lines and bars as the attributes of an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 400, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 22
_NICE = (1, 2, 5, 10)
_CLASSES = ("first", "second", "third")


class ChartLine(NamedTuple):
    """One line of a chart. `css` gives it a colour and a dash of its own."""

    name: str
    css: str
    path: str


class Bar(NamedTuple):
    """One bar of a chart, in units of the drawing."""

    x: float
    y: float
    width: float
    height: float


class Chart(NamedTuple):
    """A chart of values by minute."""

    title: str
    unit: str
    highest: float
    """The value at the top."""
    lines: tuple[ChartLine, ...]
    bars: tuple[Bar, ...]
    minutes: int
    summary: str
    """The chart in a sentence, for those who do not see it."""
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


def round_up(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not below `value`; 1 for nothing."""
    if value <= 0:
        return 1.0
    scale = 1.0
    while scale * 10 <= value:
        scale *= 10
    while scale > value:
        scale /= 10
    return next(scale * step for step in _NICE if scale * step >= value)


def draw_bars(title: str, unit: str, values: Sequence[float]) -> Chart:
    """Draw a bar for each minute."""
    highest = round_up(max(values, default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    bars = tuple(
        Bar(
            x=round(_LEFT + place * step + step * 0.1, 1),
            y=round(_y(value, highest), 1),
            width=round(step * 0.8, 1),
            height=round(HEIGHT - _BOTTOM - _y(value, highest), 1),
        )
        for place, value in enumerate(values)
        if value > 0
    )
    last = values[-1] if values else 0
    summary = f"{title}: at most {max(values, default=0):,.6g} {unit}, now {last:,.6g} {unit}"
    return Chart(title, unit, highest, (), bars, len(values), summary)


def draw_lines(title: str, unit: str, series: Mapping[str, Sequence[float | None]]) -> Chart:
    """Draw a line for each series; a minute without a value interrupts it."""
    known = [value for values in series.values() for value in values if value is not None]
    highest = round_up(max(known, default=0))
    minutes = max((len(values) for values in series.values()), default=0)
    lines = tuple(
        ChartLine(name, css, _path(values, highest))
        for (name, values), css in zip(series.items(), _CLASSES, strict=False)
    )
    shown = ", ".join(f"{name} {_last(values)} {unit}" for name, values in series.items())
    return Chart(title, unit, highest, lines, (), minutes, f"{title}, the last known: {shown}")


def _path(values: Sequence[float | None], highest: float) -> str:
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    parts: list[str] = []
    is_drawn = False
    for place, value in enumerate(values):
        if value is None:
            is_drawn = False
            continue
        x, y = _LEFT + (place + 0.5) * step, _y(value, highest)
        # a minute on its own is a short dash: a line of one point would not be seen
        parts.append(f"{'L' if is_drawn else 'M'}{x:.1f} {y:.1f}" + ("" if is_drawn else "h1"))
        is_drawn = True
    return "".join(parts)


def _y(value: float, highest: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(value, highest) / highest


def _last(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[-1]:,.3g}" if known else "none"
