"""The output lines of `finops clock`: one for each input line, in order (section 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Literal, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from finops_cli.clock.market_calendar import Calendar
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.files.seen_ids import SeenIds, duplicate
from finops_cli.pipeline.clock import ClockPolicy, missing_as_of
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.output import Rejection, rejection
from finops_cli.pipeline.parse import ParseResult, parse_fail_line
from finops_cli.pipeline.pipeline import default_fail_id

Join = Callable[[FailRecord], FailRecord | Problem]
"""Adds the history, events and lists of other files to a record."""


class ClockLine(Struct, frozen=True, kw_only=True):
    """An output line of `finops clock`."""

    fail_id: str
    status: Literal["ok", "rejected"]
    clock: Clock | None
    error: Rejection | UnsetType = UNSET


class DayLine(Struct, frozen=True):
    """An output line of `finops clock days`: the kinds of a day, and its reason."""

    date: str
    trading: bool
    settlement: bool
    business: bool
    counts_204: bool
    early_close: bool
    reason: str


class ClockedFail(NamedTuple):
    """An output line, and the record that it is about."""

    line: ClockLine
    fail: FailRecord | None
    """None for a rejected line."""


def list_days(calendar: Calendar, first: date, last: date) -> Iterator[DayLine]:
    """Yield a line for each day. Raises OutsideCalendar at the first day that is not covered."""
    for day, facts in calendar.days(first, last):
        yield DayLine(
            date=day.isoformat(),
            trading=facts.trading,
            settlement=facts.settlement,
            business=facts.business,
            counts_204=facts.counts_204,
            early_close=facts.early_close,
            reason=facts.reason,
        )


def clock_fails(
    lines: Iterable[bytes], policy: ClockPolicy, join: Join | None = None, explain: bool = False
) -> Iterator[ClockedFail]:
    """Compute the clock of each record. A bad line becomes a rejected line."""
    inputs = InputPolicy(policy.kb, policy.config.as_of, policy.calendar)
    with SeenIds() as seen:
        for number, line in enumerate(lines, start=1):
            yield _clock_line(number, parse_fail_line(line, inputs), policy, join, explain, seen)


def _clock_line(
    number: int,
    parsed: ParseResult[FailRecord],
    policy: ClockPolicy,
    join: Join | None,
    explain: bool,
    seen: SeenIds,
) -> ClockedFail:
    fail, fail_id, problems = parsed
    name = fail_id or default_fail_id(number)
    if fail_id is not None and (first := seen.register([(fail_id, number)])):
        problems = [*problems, duplicate(fail_id, first[number])]
    if fail is None or problems:
        return _reject(number, name, problems)
    if join is not None:
        joined = join(fail)
        if isinstance(joined, Problem):
            return _reject(number, name, [joined])
        fail = joined
    found = policy.compute(fail, explain)
    if not isinstance(found, Clock):
        return _reject(number, name, [found or missing_as_of()])
    return ClockedFail(ClockLine(fail_id=name, status="ok", clock=found), fail)


def _reject(number: int, name: str, problems: list[Problem]) -> ClockedFail:
    error = rejection(number, problems)
    return ClockedFail(ClockLine(fail_id=name, status="rejected", clock=None, error=error), None)
