"""The monitor of the process: one for all runs and requests in it, told by any thread.

`system_monitor()` returns it. `finops run`, `finops sentiment` and `finops serve` tell it; it needs
no web framework. Figures are of the last minute, of the last hour and since the beginning.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.recovery.incidents import BOARD, Incident
from finops_cli.monitoring.events import Callback, Event, EventName
from finops_cli.monitoring.health import Signals, compute_penalties, health_of
from finops_cli.monitoring.hooks.hook_thread import HookThread
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.noted import AnsweredRecord, EndedRequest, sort_by_moment
from finops_cli.monitoring.system_stats import PastEvent, SlowAnswer, SystemStats
from finops_cli.monitoring.windows import (
    Counts,
    MinuteFigures,
    Ring,
    Windows,
    describe_minute,
    describe_window,
    minutes_p95,
)

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.monitoring.run_summary import RunSummary

_MS = 1000
_PREDICTIONS = {"tier": "tiers", "category": "categories", "action": "actions", "label": "labels"}
"""The kinds of predictions, and the counts of a summary that hold them."""
_MINUTE = 60
_KEPT_EVENTS = 20


class SystemMonitor:
    """Counts what the process answers. Every method may be called from any thread.

    `clock` returns seconds since any fixed time. One lock guards the counts; it is held for some
    microseconds, and no callback is called under it.
    """

    def __init__(self, kb: KnowledgeBase, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._began = clock()
        self._kb = kb
        windows = kb.monitoring.windows
        self._windows = Windows(windows["seconds"], windows["minutes"])
        self._predictions: dict[str, Counter[str]] = defaultdict(Counter)
        self._commands: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()
        self._server: Counter[str] = Counter()
        self._gauges: dict[str, float] = {}
        self._events: Counter[str] = Counter()
        self._recoveries: Counter[str] = Counter()
        self._past: deque[tuple[float, Event]] = deque(maxlen=_KEPT_EVENTS)
        self._slow: deque[SlowAnswer] = deque(maxlen=kb.monitoring.spike["slowest"])
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)
        self._threads: dict[Callback, HookThread[Event]] = {}
        self._sinks: list[Callback] = []
        self._sources: list[Callable[[], None]] = []
        self._in_work = 0
        self._works: list[Callable[[], int]] = []

    def use(self, kb: KnowledgeBase) -> None:
        """Take the limits of another knowledge base from now on. Windows keep their length."""
        with self._lock:
            self._kb = kb

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count a run as long as the block lasts."""
        with self._lock:
            self._in_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_work -= 1

    def add_work(self, count: Callable[[], int]) -> None:
        """Add the work that `count` returns whenever figures are read, such as requests."""
        with self._lock:
            self._works.append(count)

    def remove_work(self, count: Callable[[], int]) -> None:
        """Add the work of `count` no more."""
        with self._lock:
            self._works = [each for each in self._works if each != count]

    def count(
        self, requests: Sequence[EndedRequest], records: Sequence[AnsweredRecord] = ()
    ) -> list[int]:
        """Count requests and records; return the steps of the times of the requests."""
        steps = [step_of(each.seconds * _MS) for each in requests]
        open_at = self._windows.open_at
        with self._lock:
            for each, step in sort_by_moment(requests, steps, records):
                part = open_at(each.at)
                if step is not None:
                    part.latency[step] += 1
                if isinstance(each, EndedRequest):
                    part.requests += 1
                    part.failures += each.is_error
                else:
                    part.statuses[each.status] += 1
                    self._count_record(each)
        return steps

    def _count_record(self, record: AnsweredRecord) -> None:
        self._commands[record.command] += 1
        for kind, value in record.predictions.items():
            self._predictions[kind][value] += 1
        if record.masked:
            self._masked.update(record.masked)

    def records(self, command: str, summary: RunSummary) -> None:
        """Count the records of a batch, or of one answer, by their summary."""
        with self._lock:
            self._commands[command] += summary.lines
            part = self._windows.open_at(self.now())
            for status, count in summary.statuses.items():
                part.statuses[status] += count
            if summary.latency:
                part.latency.update(summary.latency)
            for kind, field in _PREDICTIONS.items():
                counted: Counter[str] = getattr(summary, field)
                predictions = self._predictions[kind] if counted else {}
                for value, count in counted.items():
                    predictions[value] += count
            if summary.masked:
                self._masked.update(summary.masked)
            if summary.server:
                self._server.update(summary.server)

    def note_latency(self, id: str, command: str, latency_ms: float) -> None:
        """Remember an answer for the diagnosis of a latency spike, where it was slow."""
        if latency_ms > self._kb.monitoring.spike["min_ms"]:
            with self._lock:
                self._slow.append(SlowAnswer(id=id, command=command, latency_ms=latency_ms))

    def slow_answers(self) -> list[SlowAnswer]:
        """Return the last answers that were slow, the slowest first."""
        with self._lock:
            return sorted(self._slow, key=lambda each: -each.latency_ms)

    def set_gauge(self, name: str, value: float) -> None:
        """Set a value that is true now, such as the length of a queue."""
        with self._lock:
            self._gauges[name] = value

    def register(self, event: EventName, callback: Callback) -> None:
        """Call `callback` with each event of this name that is reported from now on.

        Each callback has a thread of its own, so it may wait; it gets its events in order. Where it
        raises, the gauge `hook_failures` counts it.
        """
        waiting = self._kb.monitoring.hooks["waiting"]
        with self._lock:
            if callback not in self._threads:
                self._threads[callback] = HookThread(callback, waiting, self._settle)
            self._callbacks[event].append(callback)

    def unregister(self, event: EventName, callback: Callback) -> None:
        """Call `callback` no more; nothing happens if it is not registered."""
        with self._lock:
            self._callbacks[event] = [each for each in self._callbacks[event] if each != callback]

    def add_sink(self, sink: Callback) -> None:
        """Call `sink` with every event, in the thread that reports it: it must not wait."""
        with self._lock:
            self._sinks.append(sink)

    def remove_sink(self, sink: Callback) -> None:
        """Call `sink` no more."""
        with self._lock:
            self._sinks = [each for each in self._sinks if each != sink]

    def report(self, event: Event) -> None:
        """Report an event to the callbacks that are registered for it. It does not wait."""
        with self._lock:
            self._events[event.event] += 1
            self._past.append((self._clock(), event))
            if "rung" in event.facts:
                self._recoveries[event.facts["rung"]] += 1
            sinks = list(self._sinks)
            threads = [self._threads[each] for each in self._callbacks[event.event]]
        for sink in sinks:
            try:
                sink(event)
            except Exception as error:  # noqa: BLE001 - any fault of a sink; the answers go on
                self._settle(event, error)
        for thread in threads:
            if not thread.put(event):
                self._settle(event, OverflowError())

    def drain(self, seconds: float) -> bool:
        """Wait until every callback was called with every event; false after `seconds`."""
        with self._lock:
            threads = list(self._threads.values())
        end = monotonic() + seconds
        return all(thread.drain(max(0.0, end - monotonic())) for thread in threads)

    def _settle(self, event: Event, error: Exception | None) -> None:
        if error is not None:
            with self._lock:
                self._gauges["hook_failures"] = self._gauges.get("hook_failures", 0) + 1

    def stats(self) -> SystemStats:
        """Return the figures as they are now."""
        self._gather()
        in_work = self._in_work + sum(count() for count in self._works)
        with self._lock:
            now = self.now()
            windows = self._settled()
            minute, hour = _sum(windows.seconds, now), _sum(windows.minutes, now)
            penalties = compute_penalties(
                Signals(
                    errors_pct=minute.errors_pct,
                    replaced_pct=minute.replaced_pct,
                    p50_ms=_percentile(minute, "p50"),
                    p95_ms=_percentile(minute, "p95"),
                    lost_pct=self._lost_pct(minute, now) if in_work else 0.0,  # else it rests
                ),
                self._kb.evaluation,
            )
            return SystemStats(
                minute=describe_window(minute, min(now, windows.seconds.span)),
                hour=describe_window(hour, min(now, windows.minutes.span)),
                total=describe_window(windows.total, now),
                in_work=in_work,
                statuses=dict(windows.total.statuses),
                commands=dict(self._commands),
                predictions={kind: dict(counts) for kind, counts in self._predictions.items()},
                masked=dict(self._masked),
                server=dict(self._server),
                gauges=dict(self._gauges),
                events=dict(self._events),
                recoveries=dict(self._recoveries),
                health=health_of(penalties),
                penalties=penalties,
            )

    def minutes_p95(self) -> list[float | None]:
        """Return the 95th percentile of each complete minute of the last hour, the oldest first.

        A minute without a timed answer has None.
        """
        self._gather()
        with self._lock:
            return minutes_p95(self._settled().minutes, self.now())

    def minutes(self) -> list[MinuteFigures]:
        """Return the figures of each minute of the last hour, the oldest first.

        Minutes before the beginning are left out.
        """
        self._gather()
        with self._lock:
            now = self.now()
            ring = self._settled().minutes
            parts = {part.number: part for part in ring.recent(now)}
            last = int(now // _MINUTE)
            first = max(0, last + 1 - ring.span // _MINUTE)
            return [
                describe_minute(parts.get(number), last - number)
                for number in range(first, last + 1)
            ]

    def past_events(self) -> list[PastEvent]:
        """Return the last events that were reported, the newest first."""
        with self._lock:
            now = self._clock()
            return [
                PastEvent(seconds_ago=round(now - at, 1), event=event)
                for at, event in reversed(self._past)
            ]

    def minute_number(self) -> int:
        """Return the number of complete minutes since the beginning."""
        return int(self.now() // _MINUTE)

    def second_number(self) -> int:
        """Return the number of complete seconds since the beginning."""
        return int(self.now())

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock() - self._began

    def add_source(self, source: Callable[[], None]) -> None:
        """Call `source` before the figures are read: it counts what it has noted."""
        with self._lock:
            self._sources.append(source)

    def remove_source(self, source: Callable[[], None]) -> None:
        """Call `source` no more."""
        with self._lock:
            self._sources = [each for each in self._sources if each != source]

    def _gather(self) -> None:
        """Have every source count what it has noted; the lock must be free."""
        for source in self._sources:
            source()

    def _settled(self) -> Windows:
        """Return the windows with all that was counted."""
        self._windows.settle()
        return self._windows

    def _lost_pct(self, minute: Counts, now: float) -> float:
        """Return the percentage of its usual throughput that the last minute lost.

        The usual one is the mean of the complete minutes with records before it. Nothing is lost
        before there is such a minute.
        """
        first = int(now // _MINUTE) - 1
        before = [part for part in self._windows.minutes.recent(now) if part.number < first]
        usual = [part.records for part in before if part.records]
        if not usual:
            return 0.0
        return 100 * max(0.0, 1 - minute.records / (sum(usual) / len(usual)))


def _sum(ring: Ring, now: float) -> Counts:
    total = Counts(0)
    for part in ring.recent(now):
        total.add(part)
    return total


def _percentile(counts: Counts, name: str) -> float | None:
    return describe_window(counts, 0).latency_ms[name]


_lock = Lock()
_monitors: list[SystemMonitor] = []


def report_incidents(monitor: SystemMonitor) -> Callable[[Incident], None]:
    """Return the function that reports the incidents of models to `monitor`."""
    return lambda incident: monitor.report(
        Event(
            event=incident.name,
            facts={"backend": incident.backend, "model": incident.model, **incident.facts},
        )
    )


def system_monitor(kb: KnowledgeBase | None = None) -> SystemMonitor:
    """Return the monitor of this process, which begins with the first call.

    `kb`: its limits count from now on. None: those that it has, at first the bundled ones.
    """
    with _lock:
        if not _monitors:
            _monitors.append(SystemMonitor(kb or load_kb(bundled_kb_dir())))
            BOARD.subscribe(report_incidents(_monitors[0]))
        monitor = _monitors[0]
    if kb is not None:
        monitor.use(kb)
    return monitor
