"""The events that the monitor reports to hooks: names, figures, ids, never a text of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from msgspec import Struct

EventName = Literal[
    "drift",
    "drift_over",
    "latency",
    "oom",
    "recovered",
    "breaker_open",
    "breaker_closed",
    "health_below",
    "job_done",
    "job_failed",
    "audit_head",
    "disk_low",
]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)


class Event(Struct, frozen=True, kw_only=True):
    """Something that a person or a program may want to know at once."""

    event: EventName
    facts: dict[str, Any]
    """Figures and ids."""


Callback = Callable[[Event], object]
"""Called with each event that it is registered for, in a thread of its own."""
