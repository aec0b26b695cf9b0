"""The report of what changed, for a person: a section for each kind of change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from finops_cli.views.changes import KINDS, Change, Kind
from finops_cli.views.columns import Columns, Row, fill_lines
from finops_cli.views.paint import Paint, leave_plain
from finops_cli.views.ranked_list import COLUMNS, make_row
from finops_cli.views.wording import clean

TITLES: dict[Kind, str] = {
    "new": "New",
    "escalated": "Escalated",
    "aged": "Aged into another band",
    "part_delivered": "Part delivered",
    "grown": "More shares than before",
    "eased": "A lower tier than before",
    "unusable": "Usable on one of the two days only",
    "cleared": "Cleared",
}


def render_changes(
    changes: Iterable[Change], columns: Sequence[str], width: int, paint: Paint = leave_plain
) -> Iterator[str]:
    """Yield the lines of the report. A fail stands once, under its first kind of change."""
    sections: dict[Kind, list[Change]] = {kind: [] for kind in KINDS}
    for change in changes:
        sections[change.kinds[0]].append(change)
    numbers = {place for place, name in enumerate(columns) if COLUMNS[name].is_number}
    head = Row(tuple(COLUMNS[name].title for name in columns))
    first = True
    for kind, found in sections.items():
        if not found:
            continue
        if not first:
            yield ""
        first = False
        yield f"{TITLES[kind]} ({len(found):,})"
        rows = [make_row(each.answer, columns, paint) for each in found]
        table = Columns([head, *rows], width, indent=4, right=numbers)
        yield from table.render(head)
        for change, row in zip(found, rows, strict=True):
            yield from table.render(row)
            said = "; ".join(change.said) if change.before is not None else ""
            texts = [said, change.answer.what_to_do if kind != "cleared" else None]
            for text in texts:
                if text:
                    yield from (f"    {line}" for line in fill_lines(clean(text), width - 4, "  "))
    if first:
        yield "Nothing changed."
