"""Counts of the last minute, of the last hour and since the beginning.

Each window is a ring of parts: a part of the last minute is a second, one of the last hour a
minute. Memory does not grow with the number of records.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct

from finops_cli.monitoring.latencies import percentile_ms

PERCENTILES = (50, 95, 99)
_HIGH = 95
_ERRORS = ("failed", "rejected")
_REPLACED = ("repaired", "fallback")


class Counts:
    """The reports in one part of a window."""

    __slots__ = ("failures", "latency", "number", "requests", "statuses")

    def __init__(self, number: int) -> None:
        self.number = number
        """The seconds or minutes since the monitor's beginning."""
        self.requests = 0
        self.failures = 0
        """Requests that ended with an error of ours."""
        self.statuses: Counter[str] = Counter()
        """Records by status."""
        self.latency: Counter[int] = Counter()
        """Requests and records that were timed, by step of their latency."""

    def add(self, other: Counts) -> None:
        """Add the counts of another part."""
        self.requests += other.requests
        self.failures += other.failures
        self.statuses.update(other.statuses)
        self.latency.update(other.latency)

    @property
    def records(self) -> int:
        """Return the number of records."""
        return self.statuses.total()

    @property
    def errors_pct(self) -> float:
        """Return the percentage of records without an answer, or of failed requests if higher."""
        lost = sum(self.statuses[status] for status in _ERRORS)
        return max(pct(lost, self.records), pct(self.failures, self.requests))

    @property
    def replaced_pct(self) -> float:
        """Return the percentage of records whose answer was repaired or replaced."""
        return pct(sum(self.statuses[status] for status in _REPLACED), self.records)


class Ring:
    """The last `parts` parts of a window, each `seconds` long."""

    def __init__(self, parts: int, seconds: int) -> None:
        self.seconds = seconds
        self._parts: deque[Counts] = deque(maxlen=parts)
        self._until = 0
        """The moment that the last part ends."""

    def part_at(self, now: float) -> Counts:
        """Return the part for the moment `now`, in seconds since the monitor's beginning."""
        if now >= self._until:
            number = int(now // self.seconds)
            self._parts.append(Counts(number))
            self._until = (number + 1) * self.seconds
        return self._parts[-1]

    def recent(self, now: float) -> list[Counts]:
        """Return the parts that are not older than the window."""
        oldest = int(now // self.seconds) - (self._parts.maxlen or 0)
        return [part for part in self._parts if part.number > oldest]

    @property
    def span(self) -> int:
        """Return the length of the window in seconds."""
        return self.seconds * (self._parts.maxlen or 0)


class Windows:
    """The windows of a monitor.

    What is counted goes into the second that is open, and from there into each window: when the
    second is over, or when somebody asks.
    """

    def __init__(self, seconds: int, minutes: int) -> None:
        self.seconds = Ring(seconds, 1)
        self.minutes = Ring(minutes, 60)
        self.total = Counts(0)
        self._open = Counts(0)
        self._until = 1

    def open_at(self, now: float) -> Counts:
        """Return what counts at the moment `now`, in seconds since the monitor's beginning."""
        if now >= self._until:
            self.settle()
            self._open = Counts(int(now))
            self._until = self._open.number + 1
        return self._open

    def settle(self) -> None:
        """Add the open second to each window. Call it before a window is read."""
        at, self._open = self._open, Counts(self._open.number)
        if at.requests or at.statuses or at.latency:
            for part in (self.seconds.part_at(at.number), self.minutes.part_at(at.number)):
                part.add(at)
            self.total.add(at)


class WindowFigures(Struct, frozen=True, kw_only=True):
    """The figures of a window. Latencies are in milliseconds, to within 1 %."""

    seconds: float
    requests: int
    records: int
    requests_per_second: float
    records_per_second: float
    error_rate_pct: float
    latency_ms: Mapping[str, float | None]


def describe_window(counts: Counts, seconds: float) -> WindowFigures:
    """Describe the counts of the last `seconds`."""
    return WindowFigures(
        seconds=round(seconds, 3),
        requests=counts.requests,
        records=counts.records,
        requests_per_second=round(counts.requests / seconds, 3) if seconds else 0.0,
        records_per_second=round(counts.records / seconds, 3) if seconds else 0.0,
        error_rate_pct=counts.errors_pct,
        latency_ms={f"p{each}": percentile_ms(counts.latency, each) for each in PERCENTILES},
    )


def pct(part: int, of: int) -> float:
    """Return `part` in percent of `of`, to two decimals; 0 of nothing."""
    return round(100 * part / of, 2) if of else 0.0


def minutes_p95(minutes: Ring, now: float) -> list[float | None]:
    """Return the 95th percentile of each complete minute, the oldest first.

    A minute without a timed answer has None. `now`: seconds since the beginning.
    """
    parts = {part.number: part for part in minutes.recent(now)}
    numbers = range(min(parts, default=0), int(now // minutes.seconds))
    return [
        percentile_ms(parts[number].latency, _HIGH) if number in parts else None
        for number in numbers
    ]


class MinuteFigures(Struct, frozen=True, kw_only=True):
    """The figures of one minute. Latencies are in milliseconds, to within 1 %."""

    minutes_ago: int
    """0: the minute that runs."""
    requests: int
    records: int
    error_rate_pct: float
    latency_ms: Mapping[str, float | None]


def describe_minute(counts: Counts | None, minutes_ago: int) -> MinuteFigures:
    """Describe the counts of a minute; None: nothing happened in it."""
    known = counts or Counts(0)
    return MinuteFigures(
        minutes_ago=minutes_ago,
        requests=known.requests,
        records=known.records,
        error_rate_pct=known.errors_pct,
        latency_ms={f"p{each}": percentile_ms(known.latency, each) for each in PERCENTILES},
    )
