"""Words and dates of the views, in English and independent of the locale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from finops_cli.domain.clock import Obligation
from finops_cli.domain.confidence import CONFIDENCE_MEANINGS, CONFIDENCES, Confidence
from finops_cli.files.terminal import printable

PARTICIPANT = "participant"
"""The holder of a fail that was not allocated."""

CONFIDENCE_NOTES: Mapping[Confidence, str] = {
    confidence: f"{confidence}: {meaning}."
    for confidence, meaning in CONFIDENCE_MEANINGS.items()
    if confidence != CONFIDENCES[0]
}
"""Each confidence that is not verified, from the strongest to the weakest."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_REMEDIES = {
    "purchase": "buy",
    "customer_delivery": "receive",
    "receipt": "receive",
    "extension": "extend",
    "notice": "notify",
}
"""Remedies as things to do; a remedy that is not here keeps its word."""


def write_day(day: str | date) -> str:
    """Write a day with its weekday: Wed 2026-11-18."""
    known = date.fromisoformat(day) if isinstance(day, str) else day
    return f"{_WEEKDAYS[known.weekday()]} {known.isoformat()}"


def read_day(text: str) -> date | None:
    """Return the day that `text` writes as 2026-11-18; None for any other text."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def write_moment(day: str | None, time: str | None) -> str:
    """Write a day and its time, each where it is known: Wed 2026-11-18 09:30."""
    return " ".join(part for part in (write_day(day) if day else None, time) if part)


def write_remedies(remedies: tuple[str, ...]) -> str:
    """Write the accepted remedies: buy or borrow."""
    return " or ".join(_REMEDIES.get(each, clean(each).replace("_", " ")) for each in remedies)


def write_days_left(obligation: Obligation) -> str:
    """Write the time to the due day: today, 1 day, 2 business days late."""
    left = obligation.days_left
    if obligation.state == "breached":
        if left is None:
            return "late"
        return "missed today" if left == 0 else f"{_count(-left, obligation.counting)} late"
    if obligation.state == "due_today":
        return "today"
    begun = "" if obligation.state == "running" else ", not started"
    return (_count(left, obligation.counting) if left is not None else "") + begun


def write_counts(counts: Counter[str]) -> str:
    """Write counted words, the most frequent first: history.stale 3, lots.qty 1."""
    by_count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{word} {count:,}" for word, count in by_count)


def write_confidence(confidence: Confidence) -> str:
    """Write a confidence, with its meaning where it is not verified."""
    return CONFIDENCE_NOTES.get(confidence, confidence).rstrip(".")


def clean(text: str) -> str:
    """Make text from a record safe for one line of a terminal."""
    return printable(" ".join(text.split()))


def _count(days: int, counting: str | None) -> str:
    """Write a number of days. Settlement days are just days, as the head of the agenda says."""
    kind = (counting or "settlement days").partition(" days")[0]
    return f"{days:,} {'' if kind == 'settlement' else f'{kind} '}day{'' if days == 1 else 's'}"
