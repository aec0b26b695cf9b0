"""finops on a terminal: a real pseudo-terminal behind stdout, stdin and stderr."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple


class Shown(NamedTuple):
    """The text that a command printed on a terminal, and its exit status."""

    status: int
    screen: str
    """stdout, with plain line ends."""
    messages: str
    """stderr."""


def run_on_terminal(
    *arguments: object, columns: int = 80, environment: Mapping[str, str] | None = None
) -> Shown:
    """Run finops with stdout and stdin on a terminal of `columns`; stderr is a pipe."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    given = {name: value for name, value in os.environ.items() if name not in _OURS}
    process = subprocess.Popen(
        [sys.executable, "-m", "finops_cli", *map(str, arguments)],
        stdin=child,
        stdout=child,
        stderr=subprocess.PIPE,
        env={**given, "TERM": "xterm", **(environment or {})},
    )
    os.close(child)
    screen = b""
    with suppress(OSError):  # Linux reports the end of a pty so
        while piece := os.read(parent, 65536):
            screen += piece
    messages = process.communicate()[1].decode()
    os.close(parent)
    return Shown(process.returncode, screen.decode().replace("\r\n", "\n"), messages)


def interrupt_at(
    sign: bytes, *arguments: object, stdin: bytes, environment: Mapping[str, str] | None = None
) -> Shown:
    """Run finops on an input that stays open, and interrupt it when `sign` is on stderr.

    stderr is a terminal, so that the progress of the run is on it.
    """
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "finops_cli", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=child,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **(environment or {})},
    )
    os.close(child)
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.flush()
    messages = b""
    while sign not in messages:
        messages += os.read(parent, 65536)
    process.send_signal(signal.SIGINT)
    with suppress(OSError):  # Linux reports the end of a pty so
        while piece := os.read(parent, 65536):
            messages += piece
    screen = process.communicate(timeout=60)[0].decode()
    os.close(parent)
    return Shown(process.returncode, screen, messages.decode())


_OURS = frozenset({"COLUMNS", "LINES", "NO_COLOR", "TERM"})
