"""The sentences of a certificate. Every number in them is one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finops_cli.book.allocation.pool import Kind

_WORDS: dict[Kind, str] = {
    "FTR": "receives",
    "BOX": "box",
    "DEPOT": "depot",
    "RECALL": "recall",
    "BORROW": "borrow",
}
_PLACES = {"BOX": "in the box", "BORROW": "from a lender", "DEPOT": "in the depot"}
_NAMES = 3
"""Fails that a sentence names; it counts the others."""


def describe_cut(
    fails: Sequence[str],
    owed: int,
    held: Mapping[Kind, int],
    uncovered: int,
    has_late: bool,
) -> str:
    """Say who owes how much, what reaches them and what is missing. `held`: shares by kind."""
    is_one = len(fails) == 1
    parts = ", ".join(f"{_WORDS[kind]} {qty:,}" for kind, qty in held.items() if qty)
    within = sum(held.values())
    when = "in time or late" if has_late else "in time"
    return (
        f"{name_fails(fails)} {'owes' if is_one else 'owe'} {owed:,}. What reaches"
        f" {'it' if is_one else 'them'} {when} holds {within:,}{f' ({parts})' if parts else ''}."
        f" {uncovered:,} {'stays' if uncovered == 1 else 'stay'} uncovered in any plan."
    )


def describe_lone(fail: str, owed: int, uncovered: int) -> str:
    """Say what a fail lacks that has its security for itself."""
    return (
        f"{fail} owes {owed:,}. What reaches it covers {owed - uncovered:,}."
        f" {uncovered:,} {'stays' if uncovered == 1 else 'stay'} uncovered in any plan."
    )


def name_fails(fails: Sequence[str]) -> str:
    """Name up to three fails, and count the others."""
    shown, rest = list(fails[:_NAMES]), len(fails) - _NAMES
    if rest > 0:
        shown.append(f"{rest:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def describe_clear(fail_id: str, shares: int, cumulative: int, kinds: Sequence[str]) -> str:
    """Say how many more shares would clear a fail, and where they could be."""
    return f"{_more(shares, cumulative, kinds)} would clear {fail_id}{_after(shares, cumulative)}."


def describe_in_time(fail_id: str, shares: int, cumulative: int, kinds: Sequence[str]) -> str:
    """Say how many more shares would bring a late fail in time."""
    return (
        f"{_more(shares, cumulative, kinds)} would bring {fail_id} in time"
        f"{_after(shares, cumulative)}."
    )


def _more(shares: int, cumulative: int, kinds: Sequence[str]) -> str:
    places = [_PLACES[kind] for kind in kinds]
    where = places[0] if len(places) == 1 else f"{', '.join(places[:-1])} or {places[-1]}"
    return f"{cumulative:,} more share{'' if cumulative == 1 else 's'} {where}"


def _after(shares: int, cumulative: int) -> str:
    return "" if shares == cumulative else f" too, which needs {shares:,} of them"
