"""Does from time to time what nobody asks for: old data goes, heads of the audit log are kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from finops_cli.errors import FinopsError
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.models.protocol import Backend
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.auth.tokens import Now
from finops_cli.service.records.when_down import states_of
from finops_cli.service.store.database import Database, DatabaseLost
from finops_cli.service.store.heads import AuditHead, append_head, last_entry
from finops_cli.service.store.retention import delete_old, find_old

_UNTOUCHED = timedelta(days=1)
"""An upload of another replica is younger; clocks of machines differ by less."""


WriteCounts = Callable[[datetime | None], Awaitable[None]]
"""Writes what the audit log has counted until a moment; None: all of it."""


class Watch:
    """Reports what changed since it last looked: servers of models, and room on the disk."""

    def __init__(self, alarms: Alarms, backend: Backend) -> None:
        self.alarms = alarms
        self._backend = backend
        self._is_open: dict[str, bool] = {}
        self._is_low = False

    def compare_states(self) -> None:
        """Report each breaker that opened or closed."""
        for server, state in states_of(self._backend).items():
            is_open = state != "closed"
            if is_open is not self._is_open.get(server, False):
                self.alarms.report("breaker_open" if is_open else "breaker_closed", server=server)
            self._is_open[server] = is_open

    def compare_disk(self, free: int, least: int) -> None:
        """Report that the disk is nearly full, once until it has room again."""
        is_low = free < least
        if is_low and not self._is_low:
            self.alarms.report("disk_low", free_bytes=free)
        self._is_low = is_low


class Upkeep:
    """The work that nobody asks for."""

    def __init__(
        self,
        data: Path,
        database: Database,
        settings: ServeSettings,
        now: Now,
        keep_days: int,
        watch: Watch,
        write_counts: WriteCounts,
    ) -> None:
        """Keep what to do. `keep_days` 0: nothing is deleted for its age."""
        self._data, self._database, self._settings = data, database, settings
        self._now, self._keep_days, self._watch = now, keep_days, watch
        self._write_counts = write_counts
        self._tasks: list[asyncio.Task[None]] = []
        self._kept = 0
        """The last entry of the audit log whose hash was kept."""

    async def start(self) -> None:
        """Delete what a crash left behind, before anything new comes, and begin."""
        at = self._now()
        await asyncio.to_thread(self._delete, None, at, has_strays=True)
        self._tasks = [
            asyncio.create_task(self._delete_repeatedly()),
            asyncio.create_task(self._keep_heads()),
            asyncio.create_task(self._look()),
            asyncio.create_task(self._measure_lag()),
        ]

    async def stop(self) -> None:
        """Keep the last head, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(DatabaseLost):
            await self._write_counts(None)
            await self.keep_head(0)

    async def delete_old(self) -> None:
        """Delete what is older than is kept."""
        at = self._now()
        before = at - timedelta(days=self._keep_days) if self._keep_days else None
        await asyncio.to_thread(self._delete, before, at)

    async def keep_head(self, least: int) -> None:
        """Append the hash of the last entry to the file of heads, after `least` new entries."""
        last = await self._database.read(last_entry)
        if last is None or last[0] - self._kept < max(least, 1):
            return
        head = AuditHead(last[0], self._now().isoformat(), last[1])
        append_head(self._data, head)
        self._kept = last[0]
        self._watch.alarms.report("audit_head", seq=head.seq, hash=head.hash)

    def _delete(self, before: datetime | None, at: datetime, has_strays: bool = False) -> None:
        old = self._database.write_now(lambda db: find_old(db, self._data, before))
        strays = self._abandoned(old.strays, at) if has_strays else []
        delete_old(self._database, self._data, old._replace(strays=strays), at)

    def _abandoned(self, strays: list[Path], at: datetime) -> list[Path]:
        """Return what nobody owns; beside other replicas, what nobody has touched for long."""
        if not self._database.is_shared:
            return strays
        oldest = (at - _UNTOUCHED).timestamp()
        return [each for each in strays if each.exists() and each.stat().st_mtime < oldest]

    async def _keep_heads(self) -> None:
        """Keep a head after many entries at once, and after some minutes."""
        times, entries = self._settings.times, self._settings.limits["head_entries"]
        waited = 0
        while True:
            await asyncio.sleep(times["head"])
            waited += times["head"]
            is_time = waited >= times["audit_head"]
            with suppress(OSError, FinopsError):  # the next time may do
                await self._write_counts(self._now())
                await self.keep_head(1 if is_time else entries)
            waited = 0 if is_time else waited

    async def _look(self) -> None:
        """Look for drift, for models that went away or came back, and for a full disk."""
        while True:
            await asyncio.sleep(self._settings.times["look"])
            await asyncio.to_thread(self._watch.alarms.judge)
            self._watch.compare_states()
            free = shutil.disk_usage(self._data).free
            self._watch.compare_disk(free, self._settings.limits["free_bytes"])

    async def _measure_lag(self) -> None:
        """Measure how late the event loop turns: what every request waits for."""
        loop, step = asyncio.get_running_loop(), self._settings.times["watch"]
        while True:
            due = loop.time() + step
            await asyncio.sleep(step)
            self._watch.alarms.set_gauge("loop_lag_ms", round(1000 * (loop.time() - due), 3))

    async def _delete_repeatedly(self) -> None:
        while True:
            with suppress(OSError, FinopsError):  # a full disk: the next time may do
                await self.delete_old()
            await asyncio.sleep(self._settings.times["retention"])
