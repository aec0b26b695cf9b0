"""The output lines of `finops clock`: one for each input line, in order (section 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from finops_cli.clock.market_calendar import Calendar
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.files.seen_ids import SeenIds, duplicate
from finops_cli.guard.records import keep_events, mask_clock
from finops_cli.pipeline.clock import ClockPolicy, missing_as_of
from finops_cli.pipeline.input_source import default_fail_id
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.output import Rejection, rejection
from finops_cli.pipeline.parse import parse_fail, parse_fail_line
from finops_cli.pipeline.redaction import RedactionPolicy, RequireGuard

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockLines:
    """Computes the clock of each record. A bad line becomes a rejected line.

    `join` adds the facts of other files, `explain` lists the days, and `redaction` masks texts.
    """

    policy: ClockPolicy
    join: Join | None = None
    explain: bool = False
    redaction: RedactionPolicy | None = None

    def compute(self, lines: Iterable[bytes]) -> Iterator[ClockedFail]:
        """Yield the line of each record, in order. Raises MissingPiece where a guard must read."""
        inputs = InputPolicy(self.policy.kb, self.policy.config.as_of, self.policy.calendar)
        with SeenIds() as seen:
            for number, line in enumerate(lines, start=1):
                parsed = parse_fail_line(line, inputs)
                fail, fail_id = parsed.value, parsed.fail_id
                name = fail_id or default_fail_id(number)
                first = {} if fail_id is None else seen.register([(fail_id, number)])
                repeated = [duplicate(name, first[number])] if first else []
                if fail is None:
                    problems = [*parsed.problems, *repeated]
                    yield self._reject(number, name, problems, line, inputs)
                elif repeated:
                    yield self._reject(number, name, repeated)
                else:
                    yield self._line(number, name, fail)

    def _line(self, number: int, name: str, given: FailRecord) -> ClockedFail:
        joined = given if self.join is None else self.join(given)
        if isinstance(joined, Problem):
            return self._reject(number, name, [joined])
        fail = joined
        if self.redaction is not None:
            if isinstance(self.redaction, RequireGuard):
                self.redaction.refuse_clock_text(joined)
            else:
                fail, _ = self.redaction.fail(joined)
        found = self.policy.compute(keep_events(fail, joined), self.explain)
        if not isinstance(found, Clock):
            problem = found or missing_as_of()
            if self.redaction is not None:
                problem = self.redaction.clock_problem(problem)
            return self._reject(number, name, [problem])
        shown = name if self.redaction is None else self.redaction.name(name)
        clock = mask_clock(found, joined, fail)
        return ClockedFail(ClockLine(fail_id=shown, status="ok", clock=clock), fail)

    def _reject(
        self,
        number: int,
        name: str,
        problems: list[Problem],
        line: bytes | None = None,
        inputs: InputPolicy | None = None,
    ) -> ClockedFail:
        """Reject a record; `line` is that of one that could not be read."""
        if self.redaction is not None:
            parse = None if inputs is None else partial(parse_fail, inputs=inputs)
            problems = self.redaction.redact_problems(line, name, problems, parse).problems
            name = self.redaction.name(name)
        error = rejection(number, problems)
        rejected = ClockLine(fail_id=name, status="rejected", clock=None, error=error)
        return ClockedFail(rejected, None)
