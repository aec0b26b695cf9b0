"""Alarms of one run: hooks, outbox and live drift, told of the lines that the run writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from finops_cli.monitoring.events import Event
from finops_cli.monitoring.hooks.deliver import deliverer
from finops_cli.monitoring.hooks.hook_thread import HookThread
from finops_cli.monitoring.hooks.outbox import DELIVERED, Outbox
from finops_cli.monitoring.predictions import read_latency, read_predictions

if TYPE_CHECKING:
    from finops_cli.monitoring.health_watch import HealthWatch
    from finops_cli.monitoring.hooks.hook_file import Hook
    from finops_cli.monitoring.latency_watch import LatencyWatch
    from finops_cli.monitoring.live_drift import DriftWatch
    from finops_cli.monitoring.system_monitor import SystemMonitor


class _Numbered(NamedTuple):
    number: int
    event: Event


class _Route(NamedTuple):
    hook: Hook
    thread: HookThread[_Numbered]


class Dispatch:
    """Sends each event to the hooks that want it, by a thread for each, through the outbox.

    Events that the outbox has from an interrupted run, and that did not arrive, are sent at once.
    """

    def __init__(self, hooks: Iterable[Hook], outbox: Outbox, limits: Mapping[str, int]) -> None:
        self._outbox = outbox
        self._limits = limits
        self._routes = [_Route(hook, self._make_thread(hook)) for hook in hooks]
        for number, event in list(outbox.events.items()):
            self._send(_Numbered(number, event))

    def send(self, event: Event) -> None:
        """Put an event into the outbox and hand it to its hooks. It does not wait for them."""
        self._send(_Numbered(self._outbox.add(event), event))

    def drain(self) -> list[str]:
        """Wait for the hooks at the end of a run. Return a sentence for each that was not told."""
        end = monotonic() + self._limits["end_seconds"]
        for route in self._routes:
            route.thread.drain(max(0.0, end - monotonic()))
        return [sentence for route in self._routes for sentence in self._describe(route.hook)]

    def _make_thread(self, hook: Hook) -> HookThread[_Numbered]:
        deliver = deliverer(hook, self._limits)
        return HookThread(
            lambda numbered: deliver(numbered.event),
            self._limits["waiting"],
            partial(self._settle, hook.name),
        )

    def _settle(self, hook: str, numbered: _Numbered, error: Exception | None) -> None:
        self._outbox.settle(numbered.number, hook, DELIVERED if error is None else str(error))

    def _send(self, numbered: _Numbered) -> None:
        for hook, thread in self._routes:
            if self._is_due(hook, numbered.number) and not thread.put(numbered):
                self._outbox.settle(numbered.number, hook.name, "too many events wait for it")

    def _is_due(self, hook: Hook, number: int) -> bool:
        wanted = self._outbox.events[number].event in hook.events
        return wanted and not self._outbox.has_arrived(number, hook.name)

    def _describe(self, hook: Hook) -> list[str]:
        missed = [number for number in self._outbox.events if self._is_due(hook, number)]
        if not missed:
            return []
        why = self._outbox.failures.get((missed[-1], hook.name), "it has not ended yet")
        path = self._outbox.path
        kept = "" if path is None else f"; {path.name} keeps what --resume will send again"
        return [f"{hook.name}: {len(missed)} events were not delivered: {why}{kept}"]


class RunAlarms:
    """Judges the lines of a run against a baseline, and reports what happens to the monitor.

    The monitor tells its callbacks, and the hooks of this run.
    """

    def __init__(
        self,
        monitor: SystemMonitor,
        dispatch: Dispatch | None,
        watch: DriftWatch | None,
        latency: LatencyWatch | None = None,
        health: HealthWatch | None = None,
    ) -> None:
        """Keep the parts. `latency` and `health` look at the monitor while the run lasts."""
        self._latency = latency
        self._health = health
        self.events: list[Event] = []
        """The events since the beginning of the run, in order."""
        self._monitor = monitor
        self._dispatch = dispatch
        self._watch = watch
        monitor.add_sink(self._note)

    def see(self, lines: Sequence[bytes]) -> None:
        """See the lines that the run wrote, in order. Each window is judged when it is full."""
        if self._latency is not None:
            for line in lines:
                name, latency_ms = read_latency(line)
                if latency_ms is not None:
                    self._monitor.note_latency(name, "run", latency_ms)
            self._latency.look()
        if self._health is not None:
            self._health.look()
        watch = self._watch
        if watch is None:
            return
        for line in lines:
            predictions = read_predictions(line)
            if predictions is None:
                continue
            watch.add(predictions)
            if watch.answers % watch.window == 0:
                self._report(watch.judge())

    def end(self) -> None:
        """Judge the last answers of the run."""
        if self._health is not None:
            self._health.look(is_end=True)
        if self._watch is not None:
            self._report(self._watch.judge(is_end=True))

    def close(self) -> list[str]:
        """Wait for the hooks. Return a sentence for each that was not told of an event."""
        self._monitor.remove_sink(self._note)
        return [] if self._dispatch is None else self._dispatch.drain()

    def _report(self, events: Iterable[Event]) -> None:
        for event in events:
            self._monitor.report(event)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if self._dispatch is not None:
            self._dispatch.send(event)
