"""The state of an obligation that is due on a day, without a time of day."""

from __future__ import annotations

from datetime import date

from finops_cli.domain.clock import State


def state_by_day(is_met: bool, day: date, due: date) -> State:
    """The state on `day` of an obligation that is due on `due`."""
    if is_met:
        return "cured"
    if day > due:
        return "breached"
    return "due_today" if day == due else "running"
