"""One process of a job: started with the arguments of finops, and ended with its service."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from finops_cli.files.safe_io import for_owner_unlinked

_MODULE = "finops_cli.service.batch.worker"
_LOG = "messages.txt"
_MOST_CHARACTERS = 2_000
_PATIENCE = 5
"""Seconds until a process that was asked to end is killed."""


class JobProcess:
    """A running job."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.is_released = False
        """It was ended because another service may go on with the job."""

    @classmethod
    async def start(cls, arguments: Sequence[str], folder: Path) -> JobProcess:
        """Start finops with `arguments`; its messages go to a file in `folder`."""
        descriptor = for_owner_unlinked(str(folder / _LOG), os.O_WRONLY | os.O_TRUNC)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULE, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C is for the service, which ends it itself
            )
        finally:
            os.close(descriptor)
        return cls(process, folder)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    async def wait(self, seconds: float) -> int | None:
        """Wait for the end. Return the exit status, negative for a signal; None: it still runs."""
        try:
            async with asyncio.timeout(seconds):
                return await self._process.wait()
        except TimeoutError:
            return None

    async def end(self) -> None:
        """End the process. Its output keeps every complete line."""
        if self._process.returncode is None:
            self._process.terminate()
            if await self.wait(_PATIENCE) is None:
                self._process.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End the process at once: another service may go on with the job."""
        self.is_released = True
        if self._process.returncode is None:
            self._process.kill()

    def messages(self) -> str:
        """Return the error that the process wrote, without the folders of the service."""
        text = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace")
        kept = [line for line in text.splitlines() if line.startswith(("finops:", "fix:"))]
        said = "; ".join(kept[-2:]) or " ".join(text.split())
        data = f"{self._folder.parent.parent}/"
        return said.replace(data, "")[:_MOST_CHARACTERS]
