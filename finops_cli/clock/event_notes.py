"""The words that the evidence and the warnings have for an event (section 6.2)."""

from __future__ import annotations

from finops_cli.clock.lots import OpenLot, ShareEvent

MEANS = ("purchase", "borrow")
"""The types of event that close out."""


def is_met_by(lot: OpenLot, shares: ShareEvent) -> bool:
    """True if the rule of the lot is met by a purchase or borrow like this one."""
    return lot.deadline is None or shares.kind in lot.deadline.remedy


def explain_bar(lot: OpenLot, shares: ShareEvent) -> str:
    """Say why a borrow counts for nothing where the rule of the lot asks for a purchase."""
    return f"{shares.label} does not count: {lot.rule} takes a purchase only"


def explain_no_need(shares: ShareEvent, *, is_box_open: bool) -> str:
    """Say why lots that are there take nothing of a purchase or borrow."""
    if shares.kind == "borrow" and is_box_open:
        return "a borrow does not lead out of the penalty box"
    return "other purchases or borrows cover every open share"


def explain_allocation(first: OpenLot, *, is_judged: bool) -> str:
    """Say why lots that have failed give no more shares to an allocation.

    `first` has the earliest deadline; `is_judged` is true if all deadlines have passed.
    """
    if first.deadline is None:
        return "Rule 204 sets no deadline for them"
    if is_judged:
        return "their deadline has passed"
    return "no more shares are uncovered before their deadline"


def add_note(lot: OpenLot, shares: ShareEvent, text: str) -> None:
    """Name an event in the evidence of a lot."""
    lot.evidence.append(text)
    shares.unused = None


def find_missing(lot: OpenLot, shares: ShareEvent, whole: int) -> str:
    """List what an early purchase lacks for the credit of 204(e); empty if it lacks nothing.

    `whole` is the holder's whole fail, in shares.
    """
    faults = [shares.refused] if shares.refused else []
    if shares.lot_named not in (None, lot.settlement):
        faults.append(f"it names the lot of {shares.lot_named}")
    if shares.qty < whole:
        faults.append(f"less than the whole fail of {whole:,}")
    elif shares.free < lot.uncovered:
        faults.append(f"{shares.qty - shares.free:,} of its shares count elsewhere")
    if not shares.shown_flat:
        faults.append("net flat or long not shown")
    return ", ".join(faults)


def describe(shares: ShareEvent, taken: int) -> str:
    """Say how many shares an event gave to a lot."""
    text = f"{taken:,} by {shares.label}"
    if shares.kind in MEANS and not shares.shown_flat:
        text += "; net flat or long not shown"
    return text
