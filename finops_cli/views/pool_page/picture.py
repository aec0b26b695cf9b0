"""The picture of a pool as SVG: sources on the left, fails on the right, bands between them.

The height of a bar and of a band is its shares. What a fail lacks is hatched, and so is nothing
else. The picture needs no script, and its text can be selected and read aloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from finops_cli.views.pool_page.pool import Pool, PoolFail, describe_days, name_source
from finops_cli.views.wording import clean

_ROWS = 24
"""Sources, and fails, that a picture draws one by one; the others share a row."""
_TOP = 34
_GAP = 10
_LINE = 14
"""Points of a line of text."""
_SHARES_HEIGHT = 420
"""Points for all shares of the higher side."""


class _Layout(NamedTuple):
    """The places of a picture, in points."""

    width: int
    left: int
    """The room for the names of the sources."""
    right: int
    """The room for the names of the fails."""
    label_chars: int


WIDE = _Layout(960, 210, 270, 34)
NARROW = _Layout(400, 104, 160, 16)


class _Bar(NamedTuple):
    label: str
    notes: tuple[str, ...]
    kind: str
    size: int
    used: int
    lacking: int = 0
    keys: tuple[object, ...] = ()


class _Placed(NamedTuple):
    bar: _Bar
    top: float
    height: float


def draw_pool(pool: Pool, layout: _Layout, name: str) -> str:
    """Draw a pool; `name` tells the parts of several pictures apart."""
    sources, fails = _source_bars(pool), _fail_bars(pool)
    largest = max(sum(bar.size for bar in sources), sum(bar.size for bar in fails), 1)
    scale = _SHARES_HEIGHT / largest
    left, right = _place(sources, scale), _place(fails, scale)
    height = max(_end(left), _end(right)) + 12
    x_left, x_right, bar = layout.left, layout.width - layout.right, 14
    parts = [
        f'<svg class="picture {name}" viewBox="0 0 {layout.width} {height:.0f}" role="img">',
        f"<title>{escape(_describe(pool))}</title>",
        _hatching(name),
        f'<text class="head" x="{x_left + bar}" y="18" text-anchor="end">Sources</text>',
        f'<text class="head" x="{x_right - bar}" y="18">Fails</text>',
        *_draw_bands(pool, left, right, scale, x_left + bar, x_right - bar),
        *_draw_sources(left, scale, x_left, bar, layout.label_chars),
        *_draw_fails(right, scale, x_right - bar, bar, name, layout.label_chars),
        "</svg>",
    ]
    return "".join(parts)


def _describe(pool: Pool) -> str:
    return (
        f"{len(pool.fails):,} fails owe {pool.owed:,} shares of {pool.cusip};"
        f" {pool.uncovered:,} stay uncovered"
    )


def _hatching(name: str) -> str:
    return (
        f'<defs><pattern id="{name}-lack" width="6" height="6" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)"><rect class="lack" width="6" height="6"/>'
        '<rect class="lack-line" width="2.5" height="6"/></pattern></defs>'
    )


def _source_bars(pool: Pool) -> list[_Bar]:
    shown, rest = pool.sources[:_ROWS], pool.sources[_ROWS:]
    bars = [
        _Bar(
            label=name_source(each.kind, each.id),
            notes=_describe_source(each.used, each.held, each.days),
            kind=each.kind,
            size=each.size,
            used=each.used,
            keys=(each.key,),
        )
        for each in shown
    ]
    if rest:
        used = sum(each.used for each in rest)
        size = sum(each.size for each in rest)
        keys = tuple(each.key for each in rest)
        notes = _describe_source(used, size, None)
        bars.append(_Bar(f"{len(rest):,} more", notes, rest[0].kind, size, used, keys=keys))
    return bars


def _describe_source(used: int, held: int | None, days: int | None) -> tuple[str, ...]:
    given = f"{used:,}" if held is None or held == used else f"{used:,} of {held:,}"
    return (given,) if days is None else (given, f"{days} day{'' if days == 1 else 's'} away")


def _fail_bars(pool: Pool) -> list[_Bar]:
    shown, rest = pool.fails[:_ROWS], pool.fails[_ROWS:]
    bars = [
        _Bar(
            label=f"{each.place.place}. {clean(each.fail_id)}",
            notes=_describe_fail(each),
            kind=each.tier,
            size=each.owed,
            used=each.owed - each.place.uncovered,
            lacking=each.place.uncovered,
            keys=(each.fail_id,),
        )
        for each in shown
    ]
    if rest:
        owed = sum(each.owed for each in rest)
        lacking = sum(each.place.uncovered for each in rest)
        notes = _describe_owed(owed, lacking, 0)
        keys = tuple(each.fail_id for each in rest)
        bars.append(
            _Bar(f"{len(rest):,} more", notes, rest[0].tier, owed, owed - lacking, lacking, keys)
        )
    return bars


def _describe_fail(fail: PoolFail) -> tuple[str, ...]:
    due = f"{fail.tier}, {describe_days(fail.days_left)}"
    return due, *_describe_owed(fail.owed, fail.place.uncovered, fail.place.late)


def _describe_owed(owed: int, lacking: int, late: int) -> tuple[str, ...]:
    """Say what is owed, and on lines of their own what is wrong with it."""
    notes = [f"{lacking:,} missing"] if lacking else []
    notes += [f"{late:,} late"] if late else []
    return f"owes {owed:,}", *notes


def _place(bars: list[_Bar], scale: float) -> list[_Placed]:
    placed, top = [], float(_TOP)
    for bar in bars:
        height = max(2.0, bar.size * scale)
        placed.append(_Placed(bar, top, height))
        top += _row_height(placed[-1]) + _GAP
    return placed


def _end(placed: list[_Placed]) -> float:
    if not placed:
        return _TOP + _LINE
    return placed[-1].top + _row_height(placed[-1])


def _row_height(placed: _Placed) -> float:
    """Return the height of a bar, or of its texts if they are higher."""
    return max(placed.height, _LINE * (1 + len(placed.bar.notes)) + 2)


def _draw_bands(
    pool: Pool,
    left: list[_Placed],
    right: list[_Placed],
    scale: float,
    x_left: int,
    x_right: int,
) -> Iterator[str]:
    """Draw a band for each source and fail that share shares, in the order of the queue."""
    source_at = {key: place for place, each in enumerate(left) for key in each.bar.keys}
    fail_at = {key: place for place, each in enumerate(right) for key in each.bar.keys}
    shares: dict[tuple[int, int, bool], int] = {}
    for fail in pool.fails:
        for each in fail.covering:
            pair = source_at[each.kind, each.id], fail_at[fail.fail_id], each.late
            shares[pair] = shares.get(pair, 0) + each.qty
    out_at = [each.top for each in left]
    in_at = [each.top for each in right]
    middle = (x_left + x_right) / 2
    for (source, target, late), qty in shares.items():
        height = max(1.0, qty * scale)
        y, z = out_at[source], in_at[target]
        out_at[source] += qty * scale
        in_at[target] += qty * scale
        bar = left[source].bar
        title = f"{qty:,} shares from {bar.label} to {right[target].bar.label}"
        title += " (late)" if late else ""
        yield (
            f'<path class="band {bar.kind}{" late" if late else ""}" d="M{x_left} {y:.1f}'
            f"C{middle:.0f} {y:.1f} {middle:.0f} {z:.1f} {x_right} {z:.1f}v{height:.1f}"
            f"C{middle:.0f} {z + height:.1f} {middle:.0f} {y + height:.1f} {x_left}"
            f' {y + height:.1f}Z"><title>{escape(title)}</title></path>'
        )


def _draw_sources(
    placed: list[_Placed], scale: float, x: int, width: int, most: int
) -> Iterator[str]:
    for bar, top, height in placed:
        used = min(height, bar.used * scale)
        yield f'<rect class="idle" x="{x}" y="{top:.1f}" width="{width}" height="{height:.1f}"/>'
        yield (
            f'<rect class="bar {bar.kind}" x="{x}" y="{top:.1f}" width="{width}"'
            f' height="{used:.1f}"/>'
        )
        yield from _write_label(bar, top, x - 8, "end", most)


def _draw_fails(
    placed: list[_Placed], scale: float, x: int, width: int, name: str, most: int
) -> Iterator[str]:
    for bar, top, height in placed:
        lacking = min(height, bar.lacking * scale)
        yield (
            f'<rect class="owed {bar.kind}" x="{x}" y="{top:.1f}" width="{width}"'
            f' height="{height:.1f}"/>'
        )
        if bar.lacking:
            yield (
                f'<rect fill="url(#{name}-lack)" class="edge" x="{x}"'
                f' y="{top + height - max(lacking, 2):.1f}" width="{width}"'
                f' height="{max(lacking, 2):.1f}"/>'
            )
        yield from _write_label(bar, top, x + width + 8, "start", most)


def _write_label(bar: _Bar, top: float, x: int, anchor: str, most: int) -> Iterator[str]:
    yield f'<text class="name" x="{x}" y="{top + 11:.1f}" text-anchor="{anchor}">'
    yield f"{escape(_shorten(bar.label, most))}</text>"
    for place, text in enumerate(bar.notes):
        y = top + 26 + _LINE * place
        lack = " missing" if "missing" in text else ""
        yield f'<text class="note{lack}" x="{x}" y="{y:.1f}" text-anchor="{anchor}">'
        yield f"{escape(text)}</text>"


def _shorten(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}\u2026"
