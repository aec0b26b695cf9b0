"""Refuses devices that never end, and pipes where a file is read more than once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finops_cli.errors import UsageError

_ENDLESS = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_WRITTEN = frozenset(("output", "stats_json", "save_map", "html", "certificate"))
"""Parameters that name a file to write: a device is as good as any for that."""
_READ_AGAIN = frozenset(
    (
        "inventory",
        "counterparty_history",
        "data",
        "sent",
        "delta",
        "triage_gguf",
        "resolver_gguf",
        "sentiment_gguf",
    )
)
"""Parameters that name a file of which the digest is taken too: a pipe gives its content once."""


def refuse_endless_files(context: Any) -> None:
    """Raise UsageError for a device without an end among the files that a command reads.

    So too for a pipe in place of a file that is read again: it would wait for its writer for ever.
    """
    devices = set(_device_numbers())
    for parameter in context.command.params:
        if parameter.name in _WRITTEN:
            continue
        for value in _list_values(context.params.get(parameter.name)):
            if _device_of(value) in devices:
                name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name
                raise UsageError(f"{name} {value}: is a device that never ends", "give a file")
            if parameter.name in _READ_AGAIN and _is_pipe(value):
                raise UsageError(
                    f"{parameter.opts[0]} {value}: is a pipe, and this file is read more than once",
                    "save what the pipe brings, and give the file",
                )


def _list_values(given: object) -> Iterator[str]:
    for value in given if isinstance(given, list | tuple) else (given,):
        if isinstance(value, str | Path):
            yield str(value)


def _device_numbers() -> Iterator[int]:
    return (number for path in _ENDLESS if (number := _device_of(path)))


def _device_of(path: str) -> int:
    """Return the number of a device; 0 for another file or for a text that is not a path."""
    try:
        return Path(path).stat().st_rdev
    except (OSError, ValueError):
        return 0


def _is_pipe(path: str) -> bool:
    try:
        return Path(path).is_fifo()
    except (OSError, ValueError):
        return False
