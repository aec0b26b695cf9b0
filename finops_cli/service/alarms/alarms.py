"""The alarms of a service: live drift against a stored baseline, and the hooks that are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.files.safe_io import whole
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.events import Event, EventName
from finops_cli.monitoring.health_watch import HealthWatch
from finops_cli.monitoring.hooks.alarms import Dispatch
from finops_cli.monitoring.latency_watch import AnswerTimes, LatencyWatch
from finops_cli.monitoring.live_drift import Baseline, DriftState, DriftWatch, decode_baseline
from finops_cli.monitoring.predictions import read_latency, read_predictions
from finops_cli.monitoring.system_monitor import SystemMonitor
from finops_cli.pipeline.scheduler import BatchResult
from finops_cli.service.alarms.job_pace import JobPace
from finops_cli.service.auth.tokens import Now, utc_now

_FILE = "drift-baseline.json"
DIAGNOSTICS = "diagnostics"
"""The folder of the bundles, below the data folder of the service."""
_MS = 1000
OUTBOX_FILE = "hooks.jsonl"


class DriftView(Struct, frozen=True, kw_only=True):
    """The last answers beside the baseline."""

    records: int | None
    """Records of the baseline; null where none is set."""
    window: int
    """The last answers that are compared."""
    answers: int
    """Answers since the baseline was set, or since the start."""
    dimensions: list[DriftState]


class Alarms:
    """Sees each answered line, and reports events. Every method may be called from any thread."""

    def __init__(
        self,
        monitor: SystemMonitor,
        kb: KnowledgeBase,
        data: Path,
        dispatch: Dispatch | None = None,
        clock: Callable[[], float] = monotonic,
        *,
        diagnostics: Path | None = None,
        now: Now = utc_now,
    ) -> None:
        """Watch, against the baseline that is stored in `data` if there is one.

        `diagnostics` takes the bundles of latency spikes; `now` names them.
        """
        self._monitor, self._kb, self._clock = monitor, kb, clock
        self._path = data / _FILE
        self._dispatch = dispatch
        self._lock = Lock()
        self._health = HealthWatch(monitor, kb.monitoring.health_alarm)
        self._times = AnswerTimes(kb.monitoring.windows["minutes"], clock)
        spike, minutes = kb.monitoring.spike, kb.monitoring.windows["minutes"]
        self._latency = LatencyWatch(monitor, spike, diagnostics, now, self._times)

        def watch_jobs(command: str, times: AnswerTimes) -> LatencyWatch:
            about = {"jobs_of": command}
            return LatencyWatch(monitor, spike, diagnostics, now, times, about)

        self.jobs = JobPace(monitor, minutes, clock, watch_jobs)
        self._baseline: Baseline | None = None
        self._watch: DriftWatch | None = None
        if self._path.is_file():
            self._use(decode_baseline(self._path.read_bytes()))
        if dispatch is not None:
            monitor.add_sink(dispatch.send)

    def set_baseline(self, baseline: Baseline) -> None:
        """Store a baseline, and compare with it from now on."""
        with whole(self._path) as file:
            file.write(msgspec.json.encode(baseline))
            file.flush()
            os.fsync(file.fileno())
        self._use(baseline)

    def see(self, lines: Iterable[bytes]) -> None:
        """See lines that were answered."""
        if self._watch is None:
            return
        for line in lines:
            try:
                predictions = read_predictions(line)
            except UNREADABLE:  # a line of another command
                continue
            with self._lock:
                if predictions is not None and self._watch is not None:
                    self._watch.add(predictions)

    def answered(self, command: str, result: BatchResult, seconds: float) -> None:
        """Note how long models took for the lines of a batch. No model got the rejected ones."""
        if result.summary.statuses["rejected"] == len(result.lines):
            return
        self._times.add(seconds * _MS)
        for line in result.lines:
            name, _ = read_latency(line)
            self._monitor.note_latency(name, command, seconds * _MS)

    def judge(self) -> None:
        """Report drift of the last answers, low health, and models that became slow.

        One thread calls it.
        """
        self._health.look(is_end=True)
        self._latency.look()
        self.jobs.judge()
        with self._lock:
            events = [] if self._watch is None else self._watch.judge(self._clock())
        for event in events:
            self._monitor.report(event)

    def report(self, name: EventName, **facts: Any) -> None:
        """Report an event to the monitor and to the hooks. `facts` are figures and ids."""
        self._monitor.report(Event(event=name, facts=facts))

    def set_gauge(self, name: str, value: float) -> None:
        """Set a value of the monitor that is true now."""
        self._monitor.set_gauge(name, value)

    def drift(self) -> DriftView:
        """Return the divergence of each dimension."""
        with self._lock:
            watch, baseline = self._watch, self._baseline
            return DriftView(
                records=None if baseline is None else baseline.records,
                window=self._kb.evaluation.drift_window,
                answers=0 if watch is None else watch.answers,
                dimensions=[] if watch is None else watch.states(),
            )

    def close(self) -> None:
        """Wait for the hooks; what they were not told is kept for the next start."""
        if self._dispatch is not None:
            self._monitor.remove_sink(self._dispatch.send)
            self._dispatch.drain()

    def _use(self, baseline: Baseline | None) -> None:
        with self._lock:
            self._baseline = baseline
            self._watch = None if baseline is None else DriftWatch(baseline, self._kb)
