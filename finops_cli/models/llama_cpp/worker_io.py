"""The pipes of a worker process: messages in over stdin, messages out over stdout."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock
from typing import IO

from finops_cli.models.llama_cpp.messages import (
    TO_WORKER,
    FromWorker,
    ToWorker,
    frame,
    next_frame,
)

Send = Callable[[FromWorker], None]


def open_stdin() -> IO[bytes]:
    """Return stdin as a file of its own, because Python cannot close `sys.stdin` while a thread
    reads it.
    """
    return os.fdopen(os.dup(0), "rb")


def open_stdout() -> Send:
    """Return the function that sends messages over stdout, from any thread.

    Anything else that the process prints goes to stderr.
    """
    stdout, lock = os.fdopen(os.dup(1), "wb"), Lock()
    os.dup2(2, 1)

    def send(message: FromWorker) -> None:
        with lock:
            stdout.write(frame(message))
            stdout.flush()

    return send


def exit_on_error(failure: threading.ExceptHookArgs) -> None:
    """End the process if a thread fails, so that every pending request fails too."""
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def read_messages(stdin: IO[bytes], messages: SimpleQueue[ToWorker]) -> None:
    """Read messages until the parent closes stdin or dies, and end the process then."""
    while (body := next_frame(stdin)) is not None:
        messages.put(TO_WORKER.decode(body))
    os._exit(0)  # at once, also in the middle of a load or a batch
