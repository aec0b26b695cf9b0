"""Does from time to time what nobody asks for: old data goes, heads of the audit log are kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from finops_cli.errors import FinopsError
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.auth.tokens import Now
from finops_cli.service.store.database import Database
from finops_cli.service.store.heads import AuditHead, append_head, last_entry
from finops_cli.service.store.retention import delete_old, find_old


class Upkeep:
    """The work that nobody asks for."""

    def __init__(
        self,
        data: Path,
        database: Database,
        settings: ServeSettings,
        now: Now,
        keep_days: int,
    ) -> None:
        """Keep what to do. `keep_days` 0: nothing is deleted for its age."""
        self._data, self._database, self._settings = data, database, settings
        self._now, self._keep_days = now, keep_days
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
        ]

    async def stop(self) -> None:
        """Keep the last head, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        append_head(self._data, AuditHead(last[0], self._now().isoformat(), last[1]))
        self._kept = last[0]

    def _delete(self, before: datetime | None, at: datetime, has_strays: bool = False) -> None:
        old = self._database.write_now(lambda db: find_old(db, self._data, before))
        strays = old.strays if has_strays else []
        delete_old(self._database, self._data, old._replace(strays=strays), at)

    async def _keep_heads(self) -> None:
        """Keep a head after many entries at once, and after some minutes."""
        times, entries = self._settings.times, self._settings.limits["head_entries"]
        waited = 0
        while True:
            await asyncio.sleep(times["head"])
            waited += times["head"]
            is_time = waited >= times["audit_head"]
            await self.keep_head(1 if is_time else entries)
            waited = 0 if is_time else waited

    async def _delete_repeatedly(self) -> None:
        while True:
            with suppress(OSError, FinopsError):  # a full disk: the next time may do
                await self.delete_old()
            await asyncio.sleep(self._settings.times["retention"])
