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


def describe_idle(unserved: Sequence[tuple[str, int]], idle: int, elsewhere: int) -> str:
    """Say which fails take no part as small as what could reach them, and where these shares are.

    `unserved`: fails and their least parts. `elsewhere`: shares of less urgent fails.
    """
    if not unserved or not (idle or elsewhere):
        return "No better plan was found within the limit of the search."
    is_one = len(unserved) == 1
    if is_one:
        fail, least = unserved[0]
        first = f"The counterparty of {fail} takes no part of less than {least:,} shares."
    else:
        parts = name_fails([f"{least:,} shares of {fail}" for fail, least in unserved])
        first = f"The counterparties take no part of less than {parts}."
    it = "it" if is_one else "them"
    where = [
        f"{_count(idle)} that could reach {it} {'lies' if idle == 1 else 'lie'} idle"
        if idle
        else "",
        f"{_count(elsewhere)} that could reach {it} {'goes' if elsewhere == 1 else 'go'} to less"
        " urgent fails"
        if elsewhere
        else "",
    ]
    return f"{first} {' and '.join(filter(None, where))}."


def _count(shares: int) -> str:
    return f"{shares:,} share{'' if shares == 1 else 's'}"


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
