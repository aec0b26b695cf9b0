"""The report of a crash: a file with the traceback, so that stderr has one line."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from finops_cli.errors import FinopsError
from finops_cli.version import __version__

NAME = "finops-fault.txt"
CRASHED = 70
"""The exit status of a fault of the program (EX_SOFTWARE)."""
_OUTPUT = ("-o", "--output")


class Crash(FinopsError):
    """A fault of the program."""

    exit_code = CRASHED


def report_crash(error: Exception) -> Crash:
    """Write the traceback to a file and return the error for stderr."""
    from finops_cli.domain.fault import fault_place

    what = f"finops has a fault: {type(error).__name__} at {fault_place(error)}"
    path = _folder_of_output(sys.argv[1:]) / NAME
    text = "".join(traceback.format_exception(error))
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"finops {__version__}, Python {sys.version}\n{text}")
    except OSError:  # the folder cannot be written
        return Crash(what, "please report it as a bug")
    return Crash(what, f"please report it as a bug, with {path}: it may quote your data")


def _folder_of_output(words: list[str]) -> Path:
    """Return the folder of the output that a command line names, else the current one."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, is_joined, value = word.partition("=")
        if name in _OUTPUT:
            folder = Path(value if is_joined else following).parent
            return folder if folder.is_dir() else Path()
    return Path()
