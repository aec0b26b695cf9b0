"""The processes that mask uploads. They are started when the first upload comes."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from finops_cli.domain.enums import GuardMode
from finops_cli.service.problems import ServiceError
from finops_cli.service.uploads.mask_worker import IN, OUT

_MOST = 2
"""Masking is the dearest work of the service; other requests need processors too."""
_MODULE = "finops_cli.service.uploads.mask_worker"


class MaskPool:
    """Up to two processes, each with one frame of lines at a time."""

    def __init__(self, kb_dir: Path, mode: GuardMode) -> None:
        self._arguments = (str(kb_dir), mode)
        self.size = max(1, min(_MOST, os.cpu_count() or 1))
        self._slots = asyncio.Semaphore(self.size)
        self._idle: list[asyncio.subprocess.Process] = []
        self._running: set[asyncio.subprocess.Process] = set()
        self.has_failed = False
        """The last process that was asked has ended without an answer."""

    async def mask(self, lines: bytes) -> tuple[bytes, int]:
        """Return whole lines masked, and in how many something was masked.

        Raises ServiceError where the process ends.
        """
        async with self._slots:
            process = self._idle.pop() if self._idle else await self._start()
            try:
                answer = await _ask(process, lines)
            except (OSError, EOFError) as error:
                self.has_failed = True
                await self._end(process)
                raise ServiceError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "guard",
                    "the process that looks for personal data has ended; send the file again",
                    retry_after=1,
                ) from error
            except BaseException:  # cancelled in the middle of a frame: its answer is nobody's
                await self._end(process)
                raise
            self._idle.append(process)
            self.has_failed = False
            return answer

    async def probe(self) -> None:
        """Find out whether a process answers again, after one has ended."""
        with suppress(ServiceError):
            await self.mask(b"")

    async def close(self) -> None:
        """End the processes."""
        for process in list(self._running):
            await self._end(process)
        self._idle.clear()

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the service, which ends them itself
        )
        self._running.add(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._running.discard(process)
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, lines: bytes) -> tuple[bytes, int]:
    given, out = process.stdin, process.stdout
    if given is None or out is None:
        raise EOFError
    given.write(IN.pack(len(lines)) + lines)
    await given.drain()
    changed, length = OUT.unpack(await out.readexactly(OUT.size))
    return await out.readexactly(length), changed
