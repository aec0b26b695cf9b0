"""The figures of the monitor of the process, its slow answers, and its last events."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.monitoring.events import Event
from finops_cli.monitoring.windows import WindowFigures


class SystemStats(Struct, frozen=True, kw_only=True):
    """The figures of the process."""

    minute: WindowFigures
    hour: WindowFigures
    total: WindowFigures
    in_work: int
    """Runs and requests that have begun and not ended."""
    statuses: dict[str, int]
    """Records by status, since the beginning."""
    commands: dict[str, int]
    """Records by the command that answered them."""
    predictions: dict[str, dict[str, int]]
    """Answers by kind (tier, category, action, label) and value."""
    masked: dict[str, int]
    """Records by the kinds of personal data that were masked."""
    server: dict[str, int]
    """Failures of models, by rule (`reply.*`)."""
    gauges: dict[str, float]
    """Values that somebody set, such as the length of a queue."""
    events: dict[str, int]
    """How often each event was reported."""
    recoveries: dict[str, int]
    """How often each rung of the recovery ladder was taken (kb: `recovery.out_of_memory`)."""
    health: int
    """From 0 to 100, of the last minute."""
    penalties: dict[str, float]


class SlowAnswer(Struct, frozen=True, kw_only=True):
    """An answer that took long."""

    id: str
    """The name of the record, or of the request."""
    command: str
    latency_ms: float


class PastEvent(Struct, frozen=True, kw_only=True):
    """An event that was reported."""

    seconds_ago: float
    event: Event
