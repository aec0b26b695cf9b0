"""A dialogue with a running finops over pipes: one line in, its answer out, then the next line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

LONGEST_WAIT_SECONDS = 60
"""After this a program that keeps an answer back is killed, and its test fails."""


class Dialogue:
    """A running finops that reads stdin. `answers` has what it wrote before it ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def send(self, line: bytes) -> None:
        """Write to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Read its next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program ended, or kept its answer back until it was killed"
        return json.loads(line)

    def end(self) -> tuple[int, bytes]:
        """Close its stdin, and return its exit status and the rest of its stdout."""
        out, _ = self._process.communicate()
        return self._process.returncode, out


@contextmanager
def talk_to(*arguments: object) -> Iterator[Dialogue]:
    """Start finops in a process of its own, with pipes as stdin and stdout."""
    command = [sys.executable, "-m", "finops_cli", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        watchdog = Timer(LONGEST_WAIT_SECONDS, process.kill)
        watchdog.start()
        try:
            yield Dialogue(process)
        finally:
            watchdog.cancel()
            process.kill()
