"""finops on a terminal: a real pseudo-terminal behind stdout, stdin and stderr."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from typing import NamedTuple


class Shown(NamedTuple):
    """What a command printed on a terminal, and how it ended."""

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
    try:
        while piece := os.read(parent, 65536):
            screen += piece
    except OSError:
        pass  # Linux reports the end of a pty so
    messages = process.communicate()[1].decode()
    os.close(parent)
    return Shown(process.returncode, screen.decode().replace("\r\n", "\n"), messages)


_OURS = frozenset({"COLUMNS", "LINES", "NO_COLOR", "TERM"})
