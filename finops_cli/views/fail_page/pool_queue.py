"""The queue of a security on the page of a fail: what it competes with, and who gets what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.fail_page.line import FailLine
from finops_cli.views.pool_page.pool import PoolFail, describe_shares
from finops_cli.views.wording import clean

_INDENT = "  "
_SHOWN = 5
"""Fails that are shown before the fail of the page, and after it."""
_HEAD = Row(("", "#", "fail", "tier", "owes", "gets", "missing"))


def render_queue(line: FailLine, kb: KnowledgeBase, width: int) -> Iterator[str]:
    """Yield the place of a fail, its neighbours in the queue, and why shares are missing."""
    place = line.book
    if place is None:
        return
    text = f"{_INDENT}place {place.place:,} of {place.of:,} in the queue of {clean(place.cusip)}"
    if place.uncovered:
        text += f"; alone it would lack {place.alone:,} of the {place.uncovered:,} shares"
    yield from fill_lines(text, width, _INDENT)
    if place.cut:
        yield from fill_lines(f"{_INDENT}{clean(place.cut)}", width, _INDENT)
    for finding in place.findings:
        yield from fill_lines(f"{_INDENT}{finding.rule}: {clean(finding.message)}", width, _INDENT)
    shown = choose_neighbours(line.queue, place.place)
    if len(shown) < 2:
        return
    rows = [_make_row(each, each.place.place == place.place) for each in shown]
    table = Columns([_HEAD, *rows], width - len(_INDENT), indent=6, right={1, 4, 6})
    for row in (_HEAD, *rows):
        yield from (f"{_INDENT}{each}".rstrip() for each in table.render(row))
    left = len(line.queue) - len(shown)
    if left:
        yield f"{_INDENT}and {left:,} more fail{'' if left == 1 else 's'}"


def choose_neighbours(queue: Sequence[PoolFail], place: int) -> list[PoolFail]:
    """Choose the head of the queue, and the neighbours of a place."""
    near = range(place - _SHOWN, place + _SHOWN + 1)
    return [each for each in queue if each.place.place <= _SHOWN or each.place.place in near]


def _make_row(fail: PoolFail, is_own: bool) -> Row:
    missing = fail.place.uncovered
    return Row(
        (
            ">" if is_own else "",
            f"{fail.place.place:,}",
            clean(fail.fail_id),
            fail.tier,
            f"{fail.owed:,}",
            clean(describe_shares(fail)),
            f"{missing:,}" if missing else "",
        )
    )
