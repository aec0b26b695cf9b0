"""Numbers, days and codes as the pages write them, in English and independent of the locale."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from finops_cli.views.wording import write_day

_CAPITALS = frozenset({"CNS", "DVP", "B2B", "CA", "DK", "FTR", "FTD", "CP", "REG", "SHO", "SPO"})
NOTHING = "\N{EN DASH}"
"""Stands where a record has no value."""
_MILLION, _THOUSAND = 1_000_000, 1_000
_FEW_DAYS = 1
TIER_LEVELS = {"LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}
"""How many of the four bars of its mark a tier fills."""


@lru_cache(512)
def write_label(code: str | None) -> str:
    """Write a code as words: CNS_FAIL is `CNS fail`, LOCATE_AND_DELIVER is `Locate and deliver`."""
    if not code:
        return NOTHING
    words = [part if part in _CAPITALS else part.lower() for part in code.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def write_whole(number: Decimal | int | None) -> str:
    """Write a count or a number of shares: 32,000."""
    return NOTHING if number is None else f"{number:,.0f}"


def write_money(dollars: Decimal | int | None) -> str:
    """Write an amount of dollars without cents: $13,400,000."""
    if dollars is None:
        return NOTHING
    return f"-${-dollars:,.0f}" if dollars < 0 else f"${dollars:,.0f}"


def write_short_money(dollars: Decimal | int | None) -> str:
    """Write an amount of dollars for a narrow column: $13.4 m, $250 k."""
    if dollars is None:
        return NOTHING
    if not -_MILLION < dollars < _MILLION:
        return f"${dollars / _MILLION:,.1f} m"
    if not -_THOUSAND < dollars < _THOUSAND:
        return f"${dollars / _THOUSAND:,.0f} k"
    return write_money(dollars)


def write_score(score: Decimal | None) -> str:
    """Write a score with the decimals that it has."""
    return NOTHING if score is None else f"{score}"


def write_days(days: int | None) -> str:
    """Write settlement days to the deadline: 2 days left, today, 1 day late."""
    if days is None:
        return NOTHING
    if days == 0:
        return "today"
    count = f"{abs(days):,} day{'' if abs(days) == 1 else 's'}"
    return f"{count} left" if days > 0 else f"{count} late"


def is_urgent(days: int | None) -> bool:
    """Return true where a deadline is past, today or on the next settlement day."""
    return days is not None and days <= _FEW_DAYS


def write_date(day: str | None) -> str:
    """Write a day with its weekday: Wed 2026-11-18; any other text stays as it is."""
    if not day:
        return NOTHING
    try:
        return write_day(day)
    except ValueError:
        return day


def write_time(moment: str | datetime | None) -> str:
    """Write a moment of UTC to the minute: 2026-11-29 13:02 UTC."""
    if not moment:
        return NOTHING
    known = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{known:%Y-%m-%d %H:%M} UTC"


def write_plural(count: int, word: str) -> str:
    """Write a count with its word: 1 fail, 2 fails."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
