"""A fact that the clock cannot use."""

from __future__ import annotations

from finops_cli.clock.market_calendar import OutsideCalendar
from finops_cli.domain.finding import Problem


class Refused(Exception):
    """A fact that contradicts the calendar or another fact; `problem` says which and why."""

    def __init__(self, field: str, value: object, accepted: str, rule: str) -> None:
        path = f"/clock_facts/{field}"
        message = f"clock_facts.{field.replace('/', '.')} is {value}; accepted: {accepted}"
        super().__init__(message)
        self.problem = Problem(
            rule=rule, path=path, value=str(value), accepted=accepted, message=message
        )


def refuse_outside(field: str, error: OutsideCalendar) -> Refused:
    """Refuse a field whose count leaves the calendar."""
    accepted = f"a date whose count stays between {error.first} and {error.last}"
    return Refused(field, error.day, accepted, "calendar.range")
