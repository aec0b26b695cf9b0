"""The list as one HTML page: it loads nothing, works without scripts, and prints.

The rows are written one by one; memory does not grow with the list.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from itertools import islice
from typing import BinaryIO

from finops_cli.views.answers import Answer
from finops_cli.views.change_report import TITLES as CHANGE_TITLES
from finops_cli.views.changes import Change, Changes
from finops_cli.views.details import Plan
from finops_cli.views.exports.cells import TITLES
from finops_cli.views.exports.page_style import SCRIPT, STYLE
from finops_cli.views.exports.plan_rows import PlanRow, list_plan_rows
from finops_cli.views.exports.report import Report, Totals, count_totals, write_moment
from finops_cli.views.ranked_list import COLUMNS, list_notes, write_cell
from finops_cli.views.wording import clean

PAGE_COLUMNS = (
    "tier",
    "score",
    "fail_id",
    "security",
    "side",
    "qty",
    "counterparty",
    "market_value",
    "age_days",
    "due",
    "days_left",
    "escalation",
)
"""The columns of the page, unless others are asked for."""
_TEXTS = frozenset(
    {"what_to_do", "error", "assumed", "counterparty_name", "decision_reason", "comment", "cut"}
)
"""Columns whose text may go on in another line."""
_MILLION = Decimal(10) ** 6


def write_html(report: Report, out: BinaryIO) -> None:
    """Write the page of a list: its numbers, the fails with their plans, changes, sources."""
    out.writelines(part.encode() for part in _write_page(report))


def _write_page(report: Report) -> Iterator[str]:
    totals = count_totals(report)
    yield _write_head()
    yield "<header><h1>Fails to resolve</h1>\n"
    moment = report.moment()
    true_at = "moment not known" if moment is None else f"true as of {write_moment(moment)}"
    yield f"<p class=soft>{escape(true_at)}; {totals.shown:,} of {report.index.count():,} lines"
    yield "</p></header>\n"
    yield from _write_cards(totals)
    yield "<main><h2>What to do</h2>\n"
    if report.changes is not None:
        yield '<p><a href="#changes">What changed</a></p>\n'
    yield (
        "<p hidden><input class=search type=search aria-label='Filter the rows'"
        " placeholder='Filter: fail, security, counterparty ...'>"
        " <span class='found soft' role=status></span></p>\n"
    )
    yield from _write_list(report)
    if report.changes is not None:
        yield from _write_changes(report, report.changes)
    yield from _write_sources(report)
    yield f"</main><script>{SCRIPT}</script></body></html>\n"


def _write_head() -> str:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(STYLE)}';"
        f" script-src 'sha256-{_digest(SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang=en><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Fails to resolve</title><style>{STYLE}</style></head>\n<body>"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write_cards(totals: Totals) -> Iterator[str]:
    yield "<div class=cards>"
    for tier, count in totals.tiers.items():
        value = totals.value_by_tier.get(tier, Decimal(0))
        note = f"USD {value / _MILLION:,.1f} million" if count else ""
        yield _write_card(tier, f"{count:,}", tier, note)
    late = "late" if totals.due else ""
    yield _write_card("due today or overdue", f"{totals.due:,}", late)
    if totals.unusable:
        yield _write_card("without an answer", f"{totals.unusable:,}", "late", "see their errors")
    yield "</div>\n"


def _write_card(label: str, value: str, kind: str, note: str = "") -> str:
    below = f"<div class=soft>{escape(note)}</div>" if note else ""
    return f"<div class='card {kind}'>{escape(label)}<b>{value}</b>{below}</div>"


def _write_list(report: Report) -> Iterator[str]:
    columns = report.columns
    yield f"<div class=scroll><table class=list><thead><tr><th class=n>#{_heads(columns)}</thead>\n"
    for rank, (answer, plan) in enumerate(report.rows(), start=1):
        yield f"<tbody><tr><td class=n>{rank:,}{_cells(answer, columns)}"
        yield f"<tr><td><td class=wide colspan={len(columns)}>{_write_notes(answer)}"
        if plan is not None:
            yield from _write_plan(plan)
        yield "</tbody>\n"
    yield "</table></div>\n"


def _write_changes(report: Report, changes: Changes) -> Iterator[str]:
    columns = report.columns
    yield "<h2 id=changes>What changed</h2>\n<div class=scroll><table class=list>"
    yield f"<thead><tr><th>Change{_heads(columns)}</thead>\n"
    count = 0
    for change in islice(changes.list(report.wanted), report.limit):
        count += 1
        yield _write_change(change, columns)
    yield "</table></div>\n"
    rest = f"{changes.unchanged:,} fails are unchanged."
    yield f"<p class=soft>{'' if count else 'Nothing changed. '}{rest}</p>\n"


def _write_change(change: Change, columns: Sequence[str]) -> str:
    kinds = ", ".join(CHANGE_TITLES[kind] for kind in change.kinds)
    said = clean("; ".join(change.said))
    return (
        f"<tbody><tr><td>{escape(kinds)}{_cells(change.answer, columns)}"
        f"<tr><td><td class=wide colspan={len(columns)}>{escape(said)}</tbody>\n"
    )


def _is_number(name: str) -> bool:
    return name in COLUMNS and COLUMNS[name].is_number


def _heads(columns: Sequence[str]) -> str:
    return "".join(
        f"<th{' class=n' if _is_number(name) else ''}>{escape(TITLES[name])}" for name in columns
    )


def _cells(answer: Answer, columns: Sequence[str]) -> str:
    return "".join(_cell(answer, name) for name in columns)


def _cell(answer: Answer, name: str) -> str:
    text = escape(write_cell(answer, name))
    if name == "tier" and answer.tier is not None:
        return f"<td><span class='tier {answer.tier}'>{text}</span>"
    classes = ["n"] if _is_number(name) else ["t"] if name in _TEXTS else []
    if name == "days_left" and answer.days_left is not None and answer.days_left <= 0:
        classes.append("late")
    return f"<td class='{' '.join(classes)}'>{text}" if classes else f"<td>{text}"


def _write_notes(answer: Answer) -> str:
    notes = list_notes(answer)
    lines = [f"<div class={'do' if place == 0 else 'soft'}>{escape(note)}</div>"
             for place, note in enumerate(notes)]  # fmt: skip
    return "".join(lines)


def _write_plan(plan: Plan) -> Iterator[str]:
    rows = list(list_plan_rows(plan))
    yield f"<details><summary>Plan, {_count_steps(plan)}</summary><table class=plan>"
    yield "<thead><tr><th>Step<th>Action<th>Counterparty<th class=n>Shares<th class=n>Coverage"
    yield "<th class=n>Remaining<th>Rationale</thead>"
    yield from (_write_step(row) for row in rows)
    yield f"</table><p class=soft>{escape(clean(plan.narrative))}</p></details>"


def _count_steps(plan: Plan) -> str:
    count = len(plan.resolution_steps)
    short = f", {plan.residual_short:,} shares uncovered" if plan.residual_short else ""
    return f"{count:,} step{'' if count == 1 else 's'}{short}"


def _write_step(row: PlanRow) -> str:
    coverage = "" if row.coverage_pct is None else f"{row.coverage_pct:f} %"
    remaining = "" if row.remaining is None else f"{row.remaining:,}"
    return (
        f"<tr><td>{escape(row.step)}<td>{escape(row.action)}<td>{escape(row.counterparty or '')}"
        f"<td class=n>{row.shares:,}<td class=n>{coverage}<td class=n>{remaining}"
        f"<td class=w>{escape(row.rationale)}"
    )


def _write_sources(report: Report) -> Iterator[str]:
    yield "<h2>Sources</h2>\n<div class=scroll><table class=sources>"
    yield "<thead><tr><th>Part<th>Rule<th>Value<th class=n>Lines<th>Source</thead>\n"
    for row in report.sources():
        lines = "" if row.lines is None else f"{row.lines:,}"
        yield (
            f"<tr><td>{escape(row.part)}<td>{escape(row.name)}<td class=w>{escape(row.value)}"
            f"<td class=n>{lines}<td class=w>{escape(row.source)}\n"
        )
    yield "</table></div>\n"
