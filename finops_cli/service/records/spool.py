"""Answers of streams that wait for their readers, in a temporary file."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from finops_cli.service.file_parts import read_lines


class SpoolBudget:
    """The bytes that the spools of all streams may hold together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._freed = asyncio.Event()

    def take(self, size: int) -> None:
        """Count bytes that are written."""
        self._held += size

    def free(self, size: int) -> None:
        """Count bytes that were sent."""
        self._held -= size
        self._freed.set()

    async def room(self) -> None:
        """Wait until there is room."""
        while self._held >= self._most:
            self._freed.clear()
            await self._freed.wait()


class Spool:
    """A file with one writer and one reader. It holds what the reader has not taken yet."""

    def __init__(self, folder: Path, budget: SpoolBudget) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._budget = budget
        self._written = 0
        self._read = 0
        self._changed = asyncio.Event()
        self._is_ended = False

    async def write(self, data: bytes) -> None:
        """Append `data`, when there is room."""
        await self._budget.room()
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)
        self._budget.take(len(data))
        self._changed.set()

    def end(self) -> None:
        """Say that nothing more will be written."""
        self._is_ended = True
        self._changed.set()

    async def read(self) -> bytes:
        """Return the next piece, as soon as there is one; empty after the last."""
        while self._read == self._written:
            if self._is_ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        piece = read_lines(self._file, self._read, self._written)
        self._read += len(piece)
        self._budget.free(len(piece))
        if self._read == self._written:  # nothing waits: the file need not grow for ever
            self._file.truncate(0)
            self._read = self._written = 0
        return piece

    def close(self) -> None:
        """Delete the file, and give back its room."""
        self._budget.free(self._written - self._read)
        self._file.close()
