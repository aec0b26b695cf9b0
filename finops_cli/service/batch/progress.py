"""Reads what a job has written, and puts it into the database: its counts, and its fails.

Only complete lines behind an fsync count as done: whoever was told of them finds them after a
crash of the machine too.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.fails import NewFails, Place, mark_gone
from finops_cli.service.store.jobs import (
    WITH_FAILS,
    Job,
    count_lines,
    delete_rows,
    forget_lines,
    output_path,
    read_job,
)
from finops_cli.service.store.replicas import owner_of
from finops_cli.views.answers import Answer, read_answer

CHUNK_LINES = 256
_READ_BYTES = 256 * 1024
_PAUSE_FACTOR = 0.5
_GONE_LINES = 1_024
"""The writer is free for a third of the time of an import: half as long as a chunk takes."""


See = Callable[[list[bytes]], None]


class _Status(msgspec.Struct):
    status: str | None = None
    ok: bool | None = None


_STATUS = msgspec.json.Decoder(_Status)


class Chunk(NamedTuple):
    """Some complete lines of an output."""

    lines: list[bytes]
    first: int
    start: int

    @property
    def end(self) -> int:
        """Return the byte after the last line."""
        return self.start + sum(map(len, self.lines))


class JobProgress:
    """Follows the output of one job."""

    def __init__(self, job: Job, owner: str, data: Path, database: Database, see: See) -> None:
        """Go on where the database stands. `see` is called with the lines that are new.

        `owner` is the service that runs the job: what it reads counts as long as it does.
        """
        self._see = see
        self.job, self._owner = job, owner
        self._path = output_path(data, job.id)
        self._database = database
        self.go_on_from(job)

    def go_on_from(self, job: Job) -> None:
        """Go on where the database stands, after it was lost in the middle of a change."""
        self._lines = job.request_counts["done"]
        self._bytes = job.output_bytes

    @property
    def lines(self) -> int:
        """Return the number of lines that are in the database."""
        return self._lines

    async def forget(self) -> None:
        """Begin again with the first line, for a command that writes its output anew."""
        id = self.job.id
        await delete_all_rows(self._database, id)
        await self._database.write(lambda connection: forget_lines(connection, id))
        self._lines = self._bytes = 0

    async def advance(self) -> int:
        """Take every complete line that is there, and return how many there were."""
        if not self._path.exists():
            return 0
        before = self._lines
        with self._path.open("rb") as file:
            size = await asyncio.to_thread(_settle, file)
            while self._bytes < size:
                chunk = _read_chunk(file, self._lines + 1, self._bytes, size)
                if not chunk.lines or not await self._store(chunk):
                    break
        return self._lines - before

    async def _store(self, chunk: Chunk) -> bool:
        """Put lines into the database; false where the job is gone, or another service runs it.

        A database that answered too late may have stored lines that count as lost here: then the
        next chunk begins where the database stands.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        fails, statuses = await asyncio.to_thread(_read_lines, self.job, chunk)
        id, end, count = self.job.id, chunk.end, len(chunk.lines)
        await self._database.read(fails.compare)

        def work(connection: Connection) -> Job | None:
            job = read_job(connection, id)
            if job is None or job.deleted is not None or owner_of(connection, id) != self._owner:
                return None
            if job.output_bytes == chunk.start:
                fails.insert(connection)
                count_lines(connection, id, statuses, count, end)
            return job

        before = await self._database.write(work, soon=False)
        if before is None:
            return False
        if before.output_bytes != chunk.start:
            self.go_on_from(before)
            return True
        await asyncio.to_thread(self._see, chunk.lines)
        self._lines += count
        self._bytes = end
        await asyncio.sleep((loop.time() - began) * _PAUSE_FACTOR)
        return True


async def delete_all_rows(database: Database, id: str) -> None:
    """Delete the fails of a job, in parts that let others write."""
    while await database.write(lambda connection: delete_rows(connection, id), soon=False):
        pass


async def mark_all_gone(database: Database, id: str) -> None:
    """Mark the fails of the queue before a job that are not in it, in parts as above."""
    first = 1

    def work(connection: Connection) -> bool:
        return mark_gone(connection, id, first, first + _GONE_LINES - 1)

    while await database.write(work, soon=False):
        first += _GONE_LINES


def _settle(file: BinaryIO) -> int:
    """Return the size of a file, all of it on the disk."""
    size = os.fstat(file.fileno()).st_size
    os.fsync(file.fileno())
    return size


def _read_chunk(file: BinaryIO, first: int, start: int, size: int) -> Chunk:
    file.seek(start)
    lines: list[bytes] = []
    taken = start
    while len(lines) < CHUNK_LINES and taken < start + _READ_BYTES:
        line = file.readline()
        taken += len(line)
        if not line.endswith(b"\n") or taken > size:
            break
        lines.append(line)
    return Chunk(lines, first, start)


def _read_lines(job: Job, chunk: Chunk) -> tuple[NewFails, Counter[str]]:
    rows: list[tuple[Answer, Place]] = []
    statuses: Counter[str] = Counter()
    start = chunk.start
    for number, line in enumerate(chunk.lines, start=chunk.first):
        statuses[_status_of(line)] += 1
        if job.command in WITH_FAILS:
            answer = read_answer(line, number)
            if isinstance(answer, Answer):
                rows.append((answer, Place(number, start, len(line))))
        start += len(line)
    return NewFails(job.id, rows), statuses


def _status_of(line: bytes) -> str:
    """Return the status of a line; that of a verdict is `ok` or `findings`."""
    try:
        found = _STATUS.decode(line)
    except UNREADABLE:
        return "unreadable"
    if found.status is not None:
        return found.status
    return "ok" if found.ok in (None, True) else "findings"
