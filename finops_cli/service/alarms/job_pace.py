"""How long models take in the jobs of a service, seen from outside: by the lines that they write.

The lines of a job are not timed, so that they are those of `finops run --no-timing`. What is known
is when they come, and how many answers are worked on at once.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from finops_cli.monitoring.latency_watch import AnswerTimes, LatencyWatch
from finops_cli.monitoring.system_monitor import SystemMonitor

_MS = 1000
OpenWatch = Callable[[str, AnswerTimes], LatencyWatch]


class JobPace:
    """Judges the pace of jobs by command: a text is labelled sooner than a fail is resolved."""

    def __init__(
        self,
        monitor: SystemMonitor,
        minutes: int,
        clock: Callable[[], float],
        open_watch: OpenWatch,
    ) -> None:
        """Begin. `open_watch` opens what judges the times of a command."""
        self._monitor, self._minutes, self._clock = monitor, minutes, clock
        self._open_watch = open_watch
        self._lock = Lock()
        self._times: dict[str, AnswerTimes] = {}
        self._watches: list[LatencyWatch] = []
        self._last: dict[str, float] = {}
        """The time of the last lines of a job."""

    def add(self, job: str, command: str, lines: int, lanes: int) -> None:
        """Note that a job wrote lines. `lanes`: answers that it works on at once.

        Its first lines say nothing: before them the model was loaded.
        """
        now = self._clock()
        with self._lock:
            before, self._last[job] = self._last.get(job), now
            times = self._times.get(command)
            if times is None:
                times = self._times[command] = AnswerTimes(self._minutes, self._clock)
                self._watches.append(self._open_watch(command, times))
        if before is None:
            return
        latency_ms = (now - before) * max(1, lanes) / lines * _MS
        times.add(latency_ms, lines)
        self._monitor.note_latency(job, command, latency_ms)

    def end(self, job: str) -> None:
        """Forget a job that has stopped: the time until it goes on does not count as latency."""
        with self._lock:
            self._last.pop(job, None)

    def judge(self) -> None:
        """Report the commands whose answers became slow. One thread calls it."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.look()
