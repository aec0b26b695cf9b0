"""The law's clock of each record of a run: its moment, its calendar and its mode (section 12)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf, resolve_as_of
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.moments import format_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock import CalendarId, Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.calendar_file import open_calendar
from finops_cli.pipeline.clock_warnings import add_record_warnings
from finops_cli.rules.deadlines import deadline_day

ClockMode = Literal["card", "regulation"]
NO_AS_OF = "no as_of"
_LOCAL_MOMENT = re.compile(r"as of (\S+) \(local_clock\)")
_MISSING = "--as-of DATE, or as_of in the clock_facts of the record"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """Everything that a process needs to set up its own clock."""

    mode: ClockMode = "card"
    as_of: AsOf | None = None
    calendar_file: Path | None = None

    def open(self, kb: KnowledgeBase) -> ClockPolicy:
        """Read the calendar. Raises UsageError for an unusable file."""
        return ClockPolicy(self, kb, open_calendar(kb.calendar, self.calendar_file))


def read_local_moment(fingerprint: str | None) -> AsOf | None:
    """The moment that `ClockPolicy.fingerprint` says the local clock gave; None for another."""
    found = _LOCAL_MOMENT.search(fingerprint or "")
    if found is None:
        return None
    return AsOf(moment=datetime.fromisoformat(found[1]), source="local_clock")


class ClockProvenance(Struct, frozen=True):
    """Which clock a line was made with."""

    mode: ClockMode
    as_of: str
    as_of_source: str
    calendar: CalendarId


class ClockPolicy:
    """Computes the clock of each record."""

    def __init__(self, config: ClockConfig, kb: KnowledgeBase, calendar: Calendar) -> None:
        self.config = config
        self.calendar = calendar
        self.kb = kb
        self.is_regulation = config.mode == "regulation"
        """True if the plan follows the law's days."""

    @property
    def fingerprint(self) -> str:
        """Mode, moment and calendar as text; a resumed run must have the same."""
        as_of = self.config.as_of
        moment = "record" if as_of is None else f"{as_of.moment.isoformat()} ({as_of.source})"
        return f"{self.config.mode}, as of {moment}, calendar {self.calendar.identity.sha256}"

    def refuse_outside(self) -> None:
        """Raise UsageError if the moment of the option is outside the calendar.

        No record would have a clock, and nothing but the lines would say why.
        """
        as_of = self.config.as_of
        if as_of is None:
            return
        try:
            self.calendar.facts(as_of.day)
        except OutsideCalendar as error:
            raise UsageError(
                f"--as-of is {as_of.day}; accepted: a day from {error.first} to {error.last}",
                "give a day inside, or cover the day in the file of --calendar",
            ) from error

    def compute(self, fail: FailRecord, explain: bool = False) -> Clock | Problem | None:
        """The clock of `fail`, or why it has none; None if the moment is not known."""
        try:
            as_of = resolve_as_of(fail, self.config.as_of)
            if as_of is None:
                return None
            days = deadline_day(fail, self.kb.triage)
            found = clock_block(fail, as_of, days, self.calendar, self.kb.clock, explain)
            return add_record_warnings(found, fail)
        except Refused as refused:
            return refused.problem

    def provenance(self, clock: Clock) -> ClockProvenance:
        """Say with which mode, moment and calendar `clock` was computed."""
        return ClockProvenance(
            self.config.mode, clock.as_of, clock.as_of_source, self.calendar.identity
        )


def missing_as_of() -> Problem:
    """The problem of a record without a moment, where one is required."""
    return Problem(
        rule="clock.as_of",
        path="/clock_facts/as_of",
        value="null",
        accepted=_MISSING,
        message=f"as_of is missing; accepted: {_MISSING}",
    )


def describe_as_of(as_of: AsOf) -> str:
    """Write the moment for a person."""
    return f"{format_moment(as_of.moment)} ET"
