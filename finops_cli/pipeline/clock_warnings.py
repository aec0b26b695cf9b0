"""Warnings of a clock about facts of its record that the clock itself does not read.

A warning begins with its kind, such as `threshold.flag`, so that outputs can count the kinds.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord

_DAY = len("YYYY-MM-DD")


def add_record_warnings(clock: Clock, fail: FailRecord) -> Clock:
    """Return `clock` with the warnings about its record."""
    added = (*_warn_of_flag(clock, fail), *_warn_of_offset(clock, fail))
    return replace(clock, warnings=(*clock.warnings, *added)) if added else clock


def _warn_of_flag(clock: Clock, fail: FailRecord) -> Iterator[str]:
    """Compare the flag of the card with the days of the lists, which the clock counts by."""
    facts = fail.clock_facts
    if facts is None:
        return
    as_of = clock.as_of[:_DAY]
    known = [row for row in facts.threshold_days if row.date <= as_of]
    if known:
        day, is_listed = known[-1].date, known[-1].listed
        source = f"threshold_days have the security {'on' if is_listed else 'off'} the list"
        said = f"{source} of {day}"
    elif facts.threshold_since is not None and facts.threshold_since <= as_of:
        is_listed, said = True, f"threshold_since is {facts.threshold_since}"
    else:
        return
    if is_listed != fail.reg_sho_threshold:
        flag = "true" if fail.reg_sho_threshold else "false"
        yield f"threshold.flag: reg_sho_threshold is {flag}, but {said}; the clock counts the days"


def _warn_of_offset(clock: Clock, fail: FailRecord) -> Iterator[str]:
    """Name the missed duties of a fail whose CNS position is netted to nothing."""
    missed = [each for each in clock.obligations if (each.kind, each.state) == ("duty", "breached")]
    if fail.cns_position == 0 and missed:
        rules = ", ".join(sorted({each.rule for each in missed}))
        yield (
            f"position.offset: cns_position is 0, and {rules} is breached: what was missed before"
            " the position was offset stays; give fail_history if it was offset in time"
        )
