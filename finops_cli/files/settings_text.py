"""Read a file of settings, whatever its format: a small text that a person wrote.

A device never ends, a named pipe may have no writer, and an editor may save another encoding. Each
is refused by one error, in bounded time and memory.
"""

from __future__ import annotations

import os
import select
import stat
from decimal import InvalidOperation
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from finops_cli.domain import limits
from finops_cli.domain.decode_errors import describe_bad_byte
from finops_cli.errors import UsageError

_PIECE = 65_536
_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""The byte-order marks of UTF-16; that of UTF-32 begins with one of them."""


def read_settings(
    path: Path, most: int = limits.SETTINGS_BYTES, wait_s: float = limits.PIPE_SECONDS
) -> bytes:
    """Return the content of `path`, at most `most` bytes. A pipe has `wait_s` seconds to end.

    Raises UsageError for a longer file, one that cannot be read, and a pipe that nobody writes.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
            content = _read_pipe(file, path, most, wait_s) if is_pipe else file.read(most + 1)
    except OSError as error:
        cure = "give a file" if path.is_dir() else "choose a file that you may read"
        raise UsageError(f"{path}: cannot be read ({error.strerror})", cure) from error
    if len(content) > most:
        raise UsageError(f"{path}: has more than {most:,} bytes", "choose a file of settings")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes would make the usual way wait without end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_pipe(file: BinaryIO, path: Path, most: int, wait_s: float) -> bytes:
    """Read up to `most` bytes and one more. Raises UsageError after `wait_s`."""
    until, content = monotonic() + wait_s, b""
    while len(content) <= most:
        if not select.select([file], [], [], max(0, until - monotonic()))[0]:
            raise UsageError(
                f"{path}: is a pipe, and its writer did not close it within {wait_s:g} seconds",
                "start the program that writes it first, or give a file",
            )
        piece = os.read(file.fileno(), _PIECE)
        if not piece:
            break
        content += piece
    return content


def decode_settings(path: Path, content: bytes) -> str:
    """Decode the UTF-8 text of `path`, without its byte-order mark.

    Raises UsageError that names another encoding where it can be known.
    """
    if content.startswith(_WIDE):
        raise UsageError(
            f"{path}: is UTF-16, not UTF-8",
            f"save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path} > NEW",
        )
    if b"\0" in content:
        raise UsageError(
            f"{path}: has a NUL byte at {content.index(0)}, so it is not a text in UTF-8",
            "choose a file of settings",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {describe_bad_byte(error)}", f"save {path} as UTF-8") from error


def parse_toml(text: str, **options: Any) -> dict[str, Any]:
    """Parse TOML with the options of `tomllib.loads`.

    Raises ValueError for a text that is not TOML, one that is nested too deeply, a number with
    thousands of digits or an exponent without end, and a line with so many full stops that a dotted
    key in it would cost the square of its length.
    """
    import tomllib

    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > limits.TOML_LINE_DOTS:
            raise ValueError(f"line {number} has more than {limits.TOML_LINE_DOTS} full stops")
    try:
        return tomllib.loads(text, **options)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python's own limit; its hint would be about Python
        raise ValueError("a number in it has thousands of digits") from error
    except InvalidOperation as error:
        raise ValueError("the exponent of a number in it is out of range") from error
