"""The rows of an agenda: the things to do, by when, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from finops_cli.domain.confidence import Confidence
from finops_cli.views.columns import Row
from finops_cli.views.entries import AgendaEntry, count_open_shares, holds_only_if_short
from finops_cli.views.selection import Box, CostStep, Due, OpeningRight, Preborrow, Selection
from finops_cli.views.wording import (
    PARTICIPANT,
    clean,
    write_day,
    write_days_left,
    write_moment,
    write_remedies,
)

_BOX_RULE, _BOX_CITATION = "SHO-204(b)", "17 CFR 242.204(b)"
"""The rule of a penalty box, which the clock block does not repeat."""


def make_due_row(due: Due, as_of: date) -> Row:
    """The row of an obligation."""
    entry, each = due.entry, due.obligation
    return Row(
        (
            write_moment(each.due_date, each.due_time),
            clean(each.rule),
            clean(entry.fail_id),
            f"{count_open_shares(each):,} of {_security(entry)}",
            write_remedies(each.remedy) or each.kind,
            write_days_left(each),
            _authority(each.citation, each.confidence),
        ),
        tuple(_due_notes(due, as_of)),
    )


def _due_notes(due: Due, as_of: date) -> Iterator[str]:
    entry, each = due.entry, due.obligation
    if (
        each.state != "breached"
        and not each.alternatives
        and holds_only_if_short(entry.clock, each)
    ):
        yield "if short"
    if each.holder != PARTICIPANT:
        yield f"held by {clean(each.holder)}"
    if due.has_lots and each.lot is not None:
        yield f"lot {each.lot}"
    yield from (
        f"or {write_day(other['due_date'])} by {clean(other['rule'])}"
        f"{', also late' if other['due_date'] < as_of.isoformat() else ''}"
        for other in each.alternatives
        if other.get("due_date") and other.get("rule")
    )
    given = [name.replace("_", " ") for name in each.assumed if name != "sale_type"]
    if given:
        yield f"assumed: {', '.join(map(clean, given))}"
    known = entry.clock.as_of[: len("YYYY-MM-DD")]
    if known != as_of.isoformat():
        yield f"as of {write_day(known)}"


def make_box_row(each: Box) -> Row:
    """The row of an open penalty box."""
    box = each.box
    rest = max(0, box.uncured_qty - box.purchased_qty)
    day, _, time = (box.opened or "").partition("T")
    return Row(
        (
            write_moment(day or None, time[: len("HH:MM")]),
            _BOX_RULE,
            clean(each.entry.fail_id),
            f"{box.uncured_qty:,} of {_security(each.entry)}",
            "wait for settlement" if box.state == "closing" else f"buy {rest:,} and settle",
            "if short" if each.if_short else "",
            _authority(_BOX_CITATION, box.confidence),
        ),
        () if box.holder == PARTICIPANT else (f"held by {clean(box.holder)}",),
    )


def make_preborrow_row(each: Preborrow) -> Row:
    """The row of a fail whose threshold close-out is not done."""
    threshold, duty = each.threshold, each.duty
    return Row(
        (
            write_moment(threshold.last_day, None),
            clean(threshold.rule),
            clean(each.entry.fail_id),
            f"{threshold.persistent_qty:,} of {_security(each.entry)}",
            f"buy {threshold.persistent_qty:,}",
            "",
            _authority(duty.citation, duty.confidence) if duty else "",
        )
    )


def make_right_row(each: OpeningRight) -> Row:
    """The row of a right to buy in."""
    right = each.right
    who = "we may" if right.holder == "ours" else "the counterparty may"
    notice = right.earliest_notice_date
    acts = []
    if notice is not None and notice >= each.day and right.notice_by is not None:
        acts.append(f"give notice by {clean(right.notice_by)}")
    if right.earliest_execution_date is not None:
        later = right.earliest_execution_date != each.day
        acts.append(f"buy in{f' from {write_day(right.earliest_execution_date)}' if later else ''}")
    return Row(
        (
            write_day(each.day),
            clean(right.rule),
            clean(each.entry.fail_id),
            _security(each.entry),
            _authority(right.citation, right.confidence),
        ),
        (f"{who} {' and '.join(acts)}", clean(right.basis)),
    )


def make_cost_row(each: CostStep) -> Row:
    """The row of a cost that begins in the window."""
    cost = each.cost
    rate = f"{cost.rate_pct:f} %" if cost.rate_pct is not None else ""
    amount = f"${cost.amount_usd:,.2f}" if cost.amount_usd is not None else ""
    return Row(
        (
            write_moment(cost.from_date, None),
            clean(cost.rule),
            clean(each.entry.fail_id),
            _security(each.entry),
            " = ".join(part for part in (rate, amount) if part),
            _authority(cost.citation, cost.confidence),
        ),
        tuple(clean(part) for part in (cost.basis, cost.effective) if part),
    )


_TOTALS = ("rule", "shown", "if short", "today", "in the window", "later", "shares due")


def make_totals_rows(found: Selection) -> Iterator[Row]:
    """The head of the totals, and a row for each rule."""
    yield Row(_TOTALS)
    for rule, totals in sorted(found.totals.items()):
        counts = totals.counts
        yield Row(
            (
                clean(rule),
                *(f"{counts['shown']:,}", f"{counts['if_short']:,}", f"{counts['today']:,}"),
                *(f"{counts['window']:,}", f"{counts['later']:,}", f"{totals.shares:,}"),
            )
        )


def _security(entry: AgendaEntry) -> str:
    return clean(f"{entry.cusip} {entry.symbol}" if entry.symbol else entry.cusip)


def _authority(citation: str, confidence: Confidence) -> str:
    """The citation, with its confidence if that is not verified; a footnote explains it."""
    return clean(citation) + ("" if confidence == "verified" else f" ({confidence})")
