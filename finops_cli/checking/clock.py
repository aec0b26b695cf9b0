"""Check the `clock` of an output line: compute it again, and compare (kb: `check.clock`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import islice, zip_longest
from typing import Any

from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import Calendar, builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.guard.records import could_be_masked
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.clock import ClockConfig, ClockPolicy, missing_as_of
from finops_cli.rules.deadlines import by_regulation
from finops_cli.verify.schemas import show_value

_SOURCES = ("option", "record", "local_clock")
_MISSING = object()
"""A value that one of the two clocks does not have."""
Difference = tuple[str, Any, Any]
_COUNTED_FROM_AS_OF = ("/clock_facts/as_of", "/clock_facts/settlement_date")


def apply_clock(case: ResolverInput, given: dict[str, Any]) -> ResolverInput:
    """Give a case the deadline that its line was planned with."""
    note, clock = _part(given.get("provenance"), "clock"), given.get("clock")
    if not isinstance(clock, dict) or not isinstance(note, dict):
        return case
    days, rule = clock.get("deadline_days"), clock.get("binding")
    if note.get("mode") != "regulation":
        return case
    if isinstance(days, bool) or not isinstance(days, int | None):
        return case
    if not isinstance(rule, str | None):
        return case
    return by_regulation(case, days, rule)


def check_clock(
    given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase, calendar: Calendar | None = None
) -> list[Finding]:
    """Return the fields of the clock that differ from those of the record and its moment.

    `calendar` is the one of the run; None is the built-in one.
    """
    stated = given.get("clock")
    if stated is None:
        return _find_missing(given, fail, kb, calendar)
    if not isinstance(stated, dict):
        return [_finding("", "an object", stated)]
    as_of = _moment(stated)
    if as_of is None:
        return [_finding("/as_of", "a moment, and where it comes from", stated.get("as_of"))]
    computed = _policy(as_of, kb, calendar).compute(fail)
    if not isinstance(computed, Clock):
        expected = "no clock" if computed is None else computed.message
        return [_finding("", expected, "a clock")]
    recomputed = exact_json.decode(exact_json.encode(computed))
    masked = _part(given.get("provenance"), "masked")
    kinds = [kind for kind in masked if isinstance(kind, str)] if isinstance(masked, list) else []
    return list(_differences(recomputed, stated, kinds))


def is_refused(
    given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase, calendar: Calendar | None = None
) -> bool:
    """True if the clock refuses `fail` as the rejected line says.

    The line does not have the moment of the option: where the record has none, every moment of the
    calendar refuses the same facts, except for days that are counted from the moment itself.
    """
    problems = _part(given.get("error"), "problems")
    stated = problems[0] if isinstance(problems, list) and len(problems) == 1 else None
    path, value = _part(stated, "path"), _part(stated, "value")
    if _part(stated, "rule") == missing_as_of().rule:
        return fail.clock_facts is None or fail.clock_facts.as_of is None
    policy = _policy(None, kb, calendar)
    reviewed = datetime.combine(policy.calendar.reviewed, time.min)
    for as_of in (None, AsOf(moment=reviewed, source="option")):
        found = _policy(as_of, kb, policy.calendar).compute(fail)
        if isinstance(found, Problem) and (found.path, found.value) == (path, value):
            return True
    return path in _COUNTED_FROM_AS_OF and _is_outside(value, policy.calendar)


def _is_outside(value: Any, calendar: Calendar) -> bool:
    try:
        return not calendar.first <= date.fromisoformat(str(value)) <= calendar.last
    except ValueError:
        return False


def _find_missing(
    given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase, calendar: Calendar | None
) -> list[Finding]:
    """Report a clock that is null although the line or the record has its moment."""
    if "clock" not in given:
        return []
    if _part(given.get("provenance"), "clock") is not None:
        return [_finding("", "a clock", None)]
    return [
        _finding("", "a clock", None)
        for found in [_policy(None, kb, calendar).compute(fail)]
        if isinstance(found, Clock)
    ]


def _policy(as_of: AsOf | None, kb: KnowledgeBase, calendar: Calendar | None) -> ClockPolicy:
    return ClockPolicy(ClockConfig(as_of=as_of), kb, calendar or builtin_calendar(kb.calendar))


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _moment(stated: dict[str, Any]) -> AsOf | None:
    text, source = stated.get("as_of"), stated.get("as_of_source")
    if not isinstance(text, str) or source not in _SOURCES:
        return None
    try:
        return AsOf(moment=parse_moment(text), source=source)
    except ValueError:
        return None


def _differences(
    expected: dict[str, Any], stated: dict[str, Any], kinds: list[str]
) -> Iterator[Finding]:
    """Yield the first difference in each field of the clock."""
    for key in (*expected, *(key for key in stated if key not in expected)):
        values = expected.get(key, _MISSING), stated.get(key, _MISSING)
        for difference in islice(_walk(f"/{key}", *values, kinds), 1):
            yield _finding(*difference)


def _walk(path: str, expected: Any, stated: Any, kinds: list[str]) -> Iterator[Difference]:
    """Yield the path and the two values of each difference.

    Texts in which the guard may have masked data of `kinds` do not differ. `true` is not 1.
    """
    if isinstance(expected, dict) and isinstance(stated, dict):
        for key in (*expected, *(key for key in stated if key not in expected)):
            values = expected.get(key, _MISSING), stated.get(key, _MISSING)
            yield from _walk(f"{path}/{key}", *values, kinds)
    elif isinstance(expected, list) and isinstance(stated, list):
        for place, values in enumerate(zip_longest(expected, stated, fillvalue=_MISSING)):
            yield from _walk(f"{path}/{place}", *values, kinds)
    elif isinstance(expected, bool) is not isinstance(stated, bool) or expected != stated:
        both_texts = isinstance(expected, str) and isinstance(stated, str)
        if not both_texts or not could_be_masked(expected, stated, kinds):
            yield path, expected, stated


def _finding(path: str, expected: Any, actual: Any) -> Finding:
    wanted, given = (
        "missing" if value is _MISSING else show_value(value) for value in (expected, actual)
    )
    name = f"clock{path.replace('/', '.')}"
    return Finding(
        rule="check.clock",
        path=f"/clock{path}",
        expected=wanted,
        actual=given,
        message=f"{name} is {given}; the record gives "
        + ("none" if expected is _MISSING else wanted),
    )
