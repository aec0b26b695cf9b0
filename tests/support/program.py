"""finops run as a user runs it, and the folders of the repository."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from finops_cli.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
GOLDEN = Path(__file__).parent / "golden"
Finops = Callable[..., subprocess.CompletedProcess[bytes]]


def start_finops(
    *arguments: object, stdin: bytes = b"", timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run finops in a process of its own, for at most `timeout` seconds."""
    command = [sys.executable, "-m", "finops_cli", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)


def call_finops(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run finops in this process, on real files in place of stdin, stdout and stderr.

    A call takes some milliseconds; a process of its own takes half a second. An error that finops
    does not handle ends the call with 1 and a traceback on stderr, as it ends a process.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        streams[0].write(stdin)
        streams[0].seek(0)
        with _standard_streams(streams), _arguments(arguments):
            status = _exit_status()
        for stream in streams[1:]:
            stream.seek(0)
        return subprocess.CompletedProcess(
            sys.argv, status, stdout=streams[1].read(), stderr=streams[2].read()
        )


@dataclass(frozen=True)
class Result:
    """The exit status of a call of finops, and its output as text."""

    exit_code: int
    stdout: str
    stderr: str


def invoke(arguments: Sequence[object], input: str | bytes = b"") -> Result:
    """Run finops in this process, as `call_finops` does, with texts."""
    done = call_finops(*arguments, stdin=input.encode() if isinstance(input, str) else input)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def _exit_status() -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - reported as the interpreter would
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _arguments(arguments: tuple[object, ...]) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["finops", *map(str, arguments)]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _standard_streams(streams: list[IO[bytes]]) -> Iterator[None]:
    """Put `streams` in place of stdin, stdout and stderr: as descriptors and as Python's files."""
    before = (sys.stdin, sys.stdout, sys.stderr)
    kept = [os.dup(descriptor) for descriptor in range(3)]
    for descriptor, stream in enumerate(streams):
        os.dup2(stream.fileno(), descriptor)
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8")  # noqa: SIM115
    sys.stdout = text_stream(1, errors="strict")
    sys.stderr = text_stream(2, errors="backslashreplace")
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for opened in (sys.stdin, sys.stdout, sys.stderr):
            opened.close()
        sys.stdin, sys.stdout, sys.stderr = before
        for descriptor, original in enumerate(kept):
            os.dup2(original, descriptor)
            os.close(original)


def text_stream(descriptor: int, errors: str) -> io.TextIOWrapper:
    """Open stdout or stderr as Python opens it at its start."""
    return io.TextIOWrapper(
        open(descriptor, "wb", closefd=False),
        encoding="utf-8",
        errors=errors,
        line_buffering=descriptor == 2,
    )
