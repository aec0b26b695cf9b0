"""Check the `clock` of an output line: compute it again, and compare (kb: `check.clock`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import exact_json
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.clock import ClockConfig, ClockPolicy
from finops_cli.rules.deadlines import by_regulation
from finops_cli.verify.schemas import show_value

_SOURCES = ("option", "record", "local_clock")


def apply_clock(case: ResolverInput, given: dict[str, Any]) -> ResolverInput:
    """Give a case the deadline that its line was planned with."""
    note, clock = _part(given.get("provenance"), "clock"), given.get("clock")
    if not isinstance(clock, dict) or not isinstance(note, dict):
        return case
    days, rule = clock.get("deadline_days"), clock.get("binding")
    if note.get("mode") != "regulation":
        return case
    if not isinstance(days, int | None) or not isinstance(rule, str | None):
        return case
    return by_regulation(case, days, rule)


def check_clock(given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase) -> list[Finding]:
    """Return the fields of the clock that differ from those of the record and its moment."""
    stated = given.get("clock")
    if stated is None:
        return []
    if not isinstance(stated, dict):
        return [_finding("", "an object", stated)]
    as_of = _moment(stated)
    if as_of is None:
        return [_finding("/as_of", "a moment, and where it comes from", stated.get("as_of"))]
    policy = ClockPolicy(ClockConfig(as_of=as_of), kb, builtin_calendar(kb.calendar))
    computed = policy.compute(fail)
    if not isinstance(computed, Clock):
        expected = "no clock" if computed is None else computed.message
        return [_finding("", expected, "a clock")]
    recomputed = exact_json.decode(exact_json.encode(computed))
    if _part(given.get("provenance"), "masked"):
        return list(_differences(_without_evidence(recomputed), _without_evidence(stated)))
    return list(_differences(recomputed, stated))


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


def _without_evidence(clock: dict[str, Any]) -> dict[str, Any]:
    obligations = clock.get("obligations")
    if not isinstance(obligations, list):
        return clock
    kept = [
        {key: value for key, value in each.items() if key != "evidence"}
        if isinstance(each, dict)
        else each
        for each in obligations
    ]
    return clock | {"obligations": kept}


def _differences(expected: dict[str, Any], stated: dict[str, Any]) -> Iterator[Finding]:
    for key in (*expected, *(key for key in stated if key not in expected)):
        if expected.get(key) != stated.get(key):
            yield _finding(f"/{key}", expected.get(key), stated.get(key))


def _finding(path: str, expected: Any, actual: Any) -> Finding:
    return Finding(
        rule="check.clock",
        path=f"/clock{path}",
        expected=show_value(expected),
        actual=show_value(actual),
        message=f"clock{path.replace('/', '.')} is {show_value(actual)};"
        f" the record gives {show_value(expected)}",
    )
