"""Latency spikes: found by the minute, and written down with all that may explain them.

A spike is a 95th percentile far above the usual one, for some minutes in a row (kb:
`monitor.latency_spike`). Its bundle holds figures, ids and names, never a text of a record.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from finops_cli.domain import exact_json
from finops_cli.files.safe_io import for_owner
from finops_cli.models.recovery.incidents import BOARD
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.system_monitor import SystemMonitor
from finops_cli.monitoring.windows import Ring, minutes_p95

_GPU = ("index", "name", "memory.used", "memory.total", "utilization.gpu", "temperature.gpu")
_GPU_SECONDS = 5
_KB = 1024
_MINUTE = 60


def utc_now() -> datetime:
    """Return the present moment, which names a bundle. No answer depends on it."""
    return datetime.now(UTC)


class Minutes(Protocol):
    """The latencies that a watch judges, by the minute."""

    def minute_number(self) -> int:
        """Return the number of complete minutes since the beginning."""
        ...

    def minutes_p95(self) -> list[float | None]:
        """Return the 95th percentile of each complete minute, the oldest first; None: no answer."""
        ...


class AnswerTimes:
    """The times of the answers of models in a service, of the last hour.

    The monitor of a service times every request, also those that wait for the end of a job.
    """

    def __init__(self, minutes: int, clock: Callable[[], float]) -> None:
        """Begin. `clock` returns seconds since any fixed time; memory holds `minutes`."""
        self._clock, self._began = clock, clock()
        self._lock = threading.Lock()
        self._ring = Ring(minutes, _MINUTE)

    def add(self, latency_ms: float, answers: int = 1) -> None:
        """Add the time of answers. Any thread may call it."""
        with self._lock:
            part = self._ring.part_at(self._clock() - self._began)
            part.latency[step_of(latency_ms)] += answers

    def minute_number(self) -> int:
        return int((self._clock() - self._began) // _MINUTE)

    def minutes_p95(self) -> list[float | None]:
        with self._lock:
            return minutes_p95(self._ring, self._clock() - self._began)


class LatencyWatch:
    """Looks at each minute of a monitor once, and reports a spike once until it is over.

    `folder` takes the bundles; None writes none. `times` are judged in place of the monitor's, and
    `about` says in the event what they are. It is called from one thread.
    """

    def __init__(
        self,
        monitor: SystemMonitor,
        spike: Mapping[str, int],
        folder: Path | None,
        now: Callable[[], datetime] = utc_now,
        times: Minutes | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._about = about or {}
        self._monitor = monitor
        self._spike = spike
        self._folder = folder
        self._now = now
        self._times: Minutes = monitor if times is None else times
        self._seen = 0
        self._is_spike = False

    def look(self) -> Event | None:
        """Judge the minutes that are complete. Return the event of a spike that begins.

        It is cheap until a further minute is complete, so it may be called for each batch.
        """
        number = self._times.minute_number()
        if number == self._seen:
            return None
        self._seen, minutes = number, self._times.minutes_p95()
        last, usual = self._last_and_usual(minutes)
        is_spike = usual is not None and bool(last) and all(self._is_high(p, usual) for p in last)
        begins, self._is_spike = is_spike and not self._is_spike, is_spike
        if not begins:
            return None
        facts: dict[str, Any] = {
            **self._about,
            "p95_ms": last[-1],
            "usual_p95_ms": usual,
            "minutes": len(last),
        }
        event = Event(event="latency", facts=facts)
        if self._folder is not None:
            try:
                path = write_bundle(self._monitor, event, self._folder, self._spike, self._now())
                facts["bundle"] = path.name
            except OSError as error:  # a full disk: the event is reported all the same
                facts["no_bundle"] = error.strerror or type(error).__name__
        self._monitor.report(event)
        return event

    def _last_and_usual(
        self, minutes: list[float | None]
    ) -> tuple[list[float | None], float | None]:
        """Return the last minutes, and the median of the 95th percentiles before them."""
        count = self._spike["minutes"]
        last, before = minutes[-count:], [p95 for p95 in minutes[:-count] if p95 is not None]
        usual = sorted(before)[len(before) // 2] if before else None
        return last if len(last) == count else [], usual

    def _is_high(self, p95: float | None, usual: float) -> bool:
        return p95 is not None and p95 > max(self._spike["ratio"] * usual, self._spike["min_ms"])


def write_bundle(
    monitor: SystemMonitor, event: Event, folder: Path, spike: Mapping[str, int], now: datetime
) -> Path:
    """Write the diagnostic bundle of an event, and delete the oldest ones beyond `bundles`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now.astimezone(UTC):%Y%m%dT%H%M%S}.json"
    bundle = {
        "at": now.isoformat(),
        "event": event,
        "stats": monitor.stats(),
        "slow_answers": monitor.slow_answers(),
        "backends": BOARD.describe(),
        "process": describe_process(),
        "gpu": describe_gpu(),
    }
    with open(path, "wb", opener=for_owner) as file:
        file.write(exact_json.encode(bundle))
    for old in sorted(folder.glob("*.json"))[: -spike["bundles"]]:
        old.unlink(missing_ok=True)
    return path


def describe_process() -> dict[str, Any]:
    """Return the memory of this process in bytes, its threads, and the load of the machine."""
    found: dict[str, Any] = {"pid": os.getpid(), "threads": threading.active_count()}
    try:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        found["rss_bytes"] = int(fields["VmRSS"].split()[0]) * _KB
    except (OSError, KeyError, ValueError):
        found["rss_bytes"] = None
    found["load"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    return found


def describe_gpu() -> list[dict[str, str]]:
    """Return the state of each GPU by `nvidia-smi`; empty where that is not installed or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - the program of the driver
            [program, f"--query-gpu={','.join(_GPU)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_GPU_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = (line.split(", ") for line in done.stdout.splitlines())
    return [dict(zip(_GPU, row, strict=False)) for row in rows if len(row) == len(_GPU)]
