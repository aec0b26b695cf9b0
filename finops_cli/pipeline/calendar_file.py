"""The desk's calendar file, laid over the built-in calendar (section 3.5)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from finops_cli.clock.market_calendar import Calendar, DayOverride, builtin_calendar
from finops_cli.errors import UsageError
from finops_cli.files.settings_text import decode_settings, parse_toml, read_settings
from finops_cli.kb.chapters.market_calendar import CalendarRules

_NO_NAME = "desk's calendar"
"""The reason of a day whose entry has no name."""
_KINDS = ("trading", "settlement", "business", "counts_204")
_TEXTS = ("name", "basis")
_EXEMPT = "exempt"
_EXAMPLE = '2026-12-09 = { trading = false, name = "day of mourning" }'
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def open_calendar(rules: CalendarRules, file: Path | None) -> Calendar:
    """The built-in calendar, as the desk's file changes it. Raises UsageError."""
    if file is None:
        return builtin_calendar(rules)
    given = _read(file)
    exempt = given.pop(_EXEMPT, [])
    if not isinstance(exempt, list) or not all(isinstance(name, str) for name in exempt):
        raise UsageError(f"{file}: exempt is {exempt!r:.60}. Expected a list of names.", _fix(file))
    overrides = {_day(file, key): _override(file, key, value) for key, value in given.items()}
    for day in sorted(overrides):
        if not rules.first <= day <= rules.last:
            _check_complete(file, day, overrides[day])
    _check_gapless(file, overrides, rules)
    return Calendar(rules, overrides, frozenset(exempt))


def list_unchanged(rules: CalendarRules, file: Path) -> list[date]:
    """The days of the desk's file that have the same kinds without it. Raises UsageError."""
    desk, built_in = open_calendar(rules, file), builtin_calendar(rules)
    days = sorted(_day(file, key) for key in _read(file) if key != _EXEMPT)
    return [
        day
        for day in days
        if rules.first <= day <= rules.last and _kinds(desk, day) == _kinds(built_in, day)
    ]


def _kinds(calendar: Calendar, day: date) -> list[bool]:
    facts = calendar.facts(day)
    return [getattr(facts, kind) for kind in _KINDS]


def _read(file: Path) -> dict[str, Any]:
    text = decode_settings(file, read_settings(file))
    try:
        is_json = text.lstrip().startswith("{")
        given = json.loads(text, object_pairs_hook=_unique) if is_json else parse_toml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not TOML or JSON: {error}", _fix(file)) from error
    return given


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. Raises ValueError for a key that is there twice, as TOML does."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = value
    return found


def _fix(file: Path) -> str:
    return f"write days as in {_EXAMPLE} into {file}"


def _day(file: Path, key: str) -> date:
    try:
        return date.fromisoformat(key if _DAY.fullmatch(key) else "")
    except ValueError as error:
        raise UsageError(f"{file}: {key} is not a day. Expected YYYY-MM-DD.", _fix(file)) from error


def _override(file: Path, key: str, value: Any) -> DayOverride:
    if not isinstance(value, dict):
        raise UsageError(f"{file}: {key} is {value!r:.60}. Expected a table.", _fix(file))
    for name, each in value.items():
        if name not in (*_KINDS, *_TEXTS):
            accepted = ", ".join((*_KINDS, *_TEXTS))
            raise UsageError(f"{file}: {key}.{name} is unknown. Expected {accepted}.", _fix(file))
        if not isinstance(each, bool if name in _KINDS else str):
            accepted = "true or false" if name in _KINDS else "a text"
            raise UsageError(
                f"{file}: {key}.{name} is {each!r:.60}. Expected {accepted}.", _fix(file)
            )
    named = any(value.get(name) for name in _TEXTS)
    return DayOverride(**value if named else {**value, "name": _NO_NAME})


def _check_gapless(file: Path, overrides: Mapping[date, DayOverride], rules: CalendarRules) -> None:
    """Days beyond the built-in calendar follow it without a gap."""
    for edge, end, step in (
        (rules.last, max(overrides, default=rules.last), timedelta(1)),
        (rules.first, min(overrides, default=rules.first), timedelta(-1)),
    ):
        day = edge
        while (end - day).days * step.days > 0:
            day += step
            if day not in overrides:
                raise UsageError(
                    f"{file}: {day} is missing between the built-in calendar and {end}",
                    "give every day between the two",
                )


def _check_complete(file: Path, day: date, given: DayOverride) -> None:
    """A day that is not built in needs all its kinds."""
    missing = [kind for kind in _KINDS[:3] if getattr(given, kind) is None]
    if missing:
        raise UsageError(
            f"{file}: {day} is outside the built-in calendar and lacks {', '.join(missing)}",
            "give trading, settlement and business for each day outside it",
        )
