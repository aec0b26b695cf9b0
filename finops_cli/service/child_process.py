"""Asks a process of its own: it gets bytes on stdin, gives bytes on stdout, and ends."""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple


class ChildAnswer(NamedTuple):
    """The output of a process that has ended."""

    status: int
    """The exit status; negative for a signal."""
    content: bytes


async def ask_child(module: str, given: bytes) -> ChildAnswer:
    """Run a module of finops with `given` on stdin; a request that is cancelled ends it too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the service, which ends it itself
    )
    try:
        content, _ = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
    return ChildAnswer(await process.wait(), content)
