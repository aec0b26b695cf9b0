"""This service among those that share its database: it counts on, and takes over from the dead."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from finops_cli.errors import FinopsError, UsageError
from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.service.auth.tokens import Now
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.replicas import (
    Replica,
    beat,
    bury,
    keep_fact,
    leave,
    list_replicas,
    read_fact,
    register,
    release_jobs,
)

_FOLDER, _MARKER = "folder", "store-id"
_STEP_SECONDS = 0.1


class Membership:
    """One service in the list of those that use the database."""

    def __init__(
        self,
        database: Database,
        name: str,
        rules: str,
        now: Now,
        sample: Callable[[], Mapping[str, Any]],
        times: Mapping[str, float],
    ) -> None:
        """Keep what to tell. `sample` returns the figures of now, `times` are `serve.times`.

        A service that could not count on ends its own jobs, before others begin them. A timer says
        so: a write to a database that hangs may wait longer.
        """
        self._database, self._now, self._sample = database, now, sample
        self._name, self._rules = name, rules
        self._beat, self._lease = times["beat"], times["lease"]
        self._safe = self._lease - 2 * self._beat
        self.id = _new_id()
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._limit: asyncio.TimerHandle | None = None
        self._on_taken: Callable[[], None] = lambda: None
        self._on_lost: Callable[[], None] = lambda: None

    async def join(self, on_taken: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Join the list and begin to count.

        `on_taken` is called when jobs of a dead service wait, and `on_lost` when the jobs of this
        one have to end, because others may take them over.
        """
        self._on_taken, self._on_lost = on_taken, on_lost
        await self._register()
        if self._database.is_shared:
            self._task = asyncio.create_task(self._count())

    async def leave(self) -> None:
        """Leave the list. If the database is gone, leave all the same."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._limit is not None:
            self._limit.cancel()
        with suppress(FinopsError):
            await self._database.write(partial(leave, id=self.id))

    async def _register(self) -> None:
        began, at = _turn(), self._now().isoformat()
        replica = Replica(
            id=self.id, name=self._name, began=at, rules=self._rules, beat=0, sample={}
        )

        def work(connection: Connection) -> None:
            if not self._database.is_shared:  # one at a time uses the folder: the others are gone
                connection.execute("DELETE FROM replicas")
            register(connection, replica)
            release_jobs(connection, at)

        await self._database.write(work)
        if self._database.is_shared:
            self._keep_jobs_from(began)

    def _keep_jobs_from(self, began: float) -> None:
        """Let the jobs go on for a while after a beat that was sent at `began`."""
        if self._limit is not None:
            self._limit.cancel()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(began + self._safe - _turn(), self._on_lost)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            with suppress(FinopsError):  # the next time may do
                began = _turn()
                is_listed = await self._database.write(
                    partial(beat, id=self.id, sample=self._sample())
                )
                if is_listed:
                    self._keep_jobs_from(began)
                else:
                    self._on_lost()
                    self.id = _new_id()
                    await self._register()
                await self._look()

    async def _look(self) -> None:
        """Take the dead from the list, and release what they ran."""
        now = _turn()
        others = [each for each in await self._database.read(list_replicas) if each.id != self.id]
        self._seen = {
            each.id: self._seen[each.id]
            if each.id in self._seen and self._seen[each.id][0] == each.beat
            else (each.beat, now)
            for each in others
        }
        for id, (last_beat, since) in self._seen.items():
            if now - since > self._lease:
                await self._database.write(partial(bury, id=id, last_beat=last_beat))
        at = self._now().isoformat()
        if await self._database.write(partial(release_jobs, at=at)):
            self._on_taken()


def refuse_other_rules(database: Database, rules: str, beat: float) -> None:
    """Raise UsageError while another service answers by other rules.

    A service counts every `beat` seconds: one that does not is gone.
    """
    others = [each for each in database.write_now(list_replicas) if each.rules != rules]
    until = _turn() + 2 * beat
    while others and _turn() < until:
        time.sleep(_STEP_SECONDS)
        present = {each.id: each for each in database.write_now(list_replicas)}
        for other in others:
            found = present.get(other.id)
            if found is not None and found.beat != other.beat:
                raise UsageError(
                    f"--store: the replica {other.name} answers by {other.rules}."
                    f" Expected the same as here: {rules}.",
                    "stop it first, or start this one with its finops, --kb, --guard and --backend",
                )


def refuse_other_folder(database: Database, folder: Path, beat: float) -> None:
    """Raise UsageError for a folder with the files of another database, or without those of this.

    The first service marks the folder and the database; the others wait `beat` seconds for it.
    """
    marker = folder / _MARKER
    mark = marker.read_text(encoding="utf-8").strip() if marker.exists() else None
    new = secrets.token_hex(16)

    def work(connection: Connection) -> str | None:
        known = read_fact(connection, _FOLDER)
        if known is None and mark is None:
            keep_fact(connection, _FOLDER, new)
        return known

    known = database.write_now(work)
    if known is None and mark is None:
        with open(marker, "x", encoding="utf-8", opener=for_owner_unlinked) as file:
            file.write(f"{new}\n")
        return
    until = _turn() + beat
    while mark is None and _turn() < until:  # another service is just marking the folder
        time.sleep(_STEP_SECONDS)
        mark = marker.read_text(encoding="utf-8").strip() if marker.exists() else None
    if mark != known:
        raise UsageError(
            f"--data {folder}: is not the folder of this database",
            "give every replica the same shared folder; a new database begins with a new folder",
        )


def _new_id() -> str:
    return secrets.token_hex(8)


def _turn() -> float:
    """Return seconds of this machine that no setting of the clock changes."""
    return time.monotonic()
