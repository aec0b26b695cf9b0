"""Run one llama.cpp worker process.

If the process dies, every pending request fails with `Crashed`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import IO

import msgspec

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.models.failures import Crashed, TimedOut
from finops_cli.models.llama_cpp.messages import (
    FROM_WORKER,
    Begun,
    Cancel,
    FromWorker,
    Generate,
    GenerationResult,
    Load,
    Loaded,
    Unloadable,
    frame,
    next_frame,
)

WORKER_COMMAND = (sys.executable, "-P", "-m", "finops_cli.models.llama_cpp.worker")
"""The command of a worker: this Python, with the worker package."""
_LOADING = 0
"""The request number for loading the model."""
_LAST_WORDS_BYTES = 600
_QUIET = {"GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of the process: no debugger when ggml aborts, because it takes time, and no threads
of numpy beside those of llama.cpp.
"""


class Died(Exception):
    """The end of a process. All requests that fail with it share one object."""


class NotLoaded(Exception):
    """The process could not load its model.

    `by_itself` is true if the process reported the reason, and false if it died.
    """

    def __init__(self, why: str, by_itself: bool) -> None:
        super().__init__(why)
        self.by_itself = by_itself


Answers = SimpleQueue[FromWorker | Died]
"""The messages for one request. If it gets no answer, the last message is the process's death."""


class WorkerProcess:
    """Start the process, which begins to load the model.

    Raises NotLoaded if the system cannot start it.
    """

    def __init__(self, load: Load, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - `_read_messages` closes it after the process has ended
        try:
            self._child = _start_process(command, self._stderr)
        except OSError as error:
            self._stderr.close()
            raise NotLoaded(f"no process can be started: {error}", by_itself=False) from error
        self._lock = Lock()
        """Held while `_waiting` or `_death` changes, so that every waiting request is either
        registered or gets the death.
        """
        self._waiting: dict[int, Answers] = {}
        self._death: Died | None = None
        self._stop_reason = ""
        self._last_message_at = monotonic()
        self._numbers = count(1)
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._first = self._register(_LOADING)
        self._is_loaded = False
        self.has_gpu = False
        self._reader = Thread(target=self._read_messages, daemon=True)
        self._reader.start()
        Thread(target=self._write, daemon=True).start()
        self._outgoing.put(frame(load))

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Return true if requests can still be sent."""
        return self._death is None and not self._stop_reason

    def ready(self, patience: float) -> None:
        """Wait until the model is loaded.

        Raises NotLoaded and ends the process if that takes more than `patience` seconds.
        """
        if self._is_loaded:
            return
        try:
            answer = self._first.get(timeout=patience)
        except Empty:
            self.stop()
            raise NotLoaded(f"it was not loaded within {patience:g} s", by_itself=False) from None
        except BaseException:  # Ctrl-C: no request waits for it any more
            self.stop()
            raise
        if not isinstance(answer, Loaded):
            self.stop()
            raise NotLoaded(
                answer.why if isinstance(answer, Unloadable) else str(answer),
                isinstance(answer, Unloadable),
            )
        self._is_loaded = True
        self.has_gpu = answer.has_gpu

    def generate(self, request: Generate, seconds: float, silence: float) -> GenerationResult:
        """Return the answer to `request`, which gets its number here.

        `seconds` counts from the time when the request has its sequence; then the request is
        cancelled. A process that does not confirm within `silence` seconds hangs, and is ended.
        Raises Crashed if the process dies, TimedOut after `seconds`.
        """
        number = next(self._numbers)
        answers = self._register(number)
        try:
            self._send(msgspec.structs.replace(request, number=number))
            # longer than one answer, because requests that have a sequence come first
            answer: FromWorker | None = self._await_first_message(answers, seconds + 2 * silence)
            if isinstance(answer, Begun):
                answer = _next_message(answers, seconds) or self._cancel(
                    answers, number, seconds, silence
                )
            assert isinstance(answer, GenerationResult)  # noqa: S101 - nothing else has a number
            return answer
        finally:
            with self._lock:
                del self._waiting[number]

    def stop(self, why: str = "was ended by finops") -> None:
        """End the process and wait until it has ended and its memory is free.

        Waiting requests get Crashed.
        """
        self._stop_reason = self._stop_reason or why
        self._child.kill()
        self._reader.join()

    def _await_first_message(self, answers: Answers, patience: float) -> FromWorker:
        """Return the first message for a request: Begun, or the result if it came at once.

        Other requests may run for a long time before it, but a process that sends no message at all
        hangs.
        """
        since = monotonic()
        while (left := max(since, self._last_message_at) + patience - monotonic()) > 0:
            answer = _next_message(answers, left)
            if answer is not None:
                return answer
        self.stop(f"sent no message for {patience:g} s and was ended")
        answer = _next_message(answers, 0)
        assert answer is not None  # noqa: S101 - it came just in time, or the death raised Crashed
        return answer

    def _cancel(
        self, answers: Answers, number: int, seconds: float, silence: float
    ) -> GenerationResult:
        self._send(Cancel(number))
        answer = _next_message(answers, silence)
        if answer is None:
            self.stop("hung and was ended")
            raise TimedOut(
                f"no answer within {seconds:g} s, and the process of the model hung for"
                f" {silence:g} s more (kb entry model.timeouts); it was ended"
            )
        assert isinstance(answer, GenerationResult)  # noqa: S101 - Begun came before
        if answer.end == "cancelled":
            raise TimedOut(
                f"no answer within {seconds:g} s; the request was cancelled", answer.text
            )
        return answer

    def _register(self, number: int) -> Answers:
        answers: Answers = SimpleQueue()
        with self._lock:
            self._waiting[number] = answers
            if self._death is not None:
                answers.put(self._death)
        return answers

    def _send(self, message: Generate | Cancel) -> None:
        self._outgoing.put(frame(message))

    def _write(self) -> None:
        """Write the queued messages in order.

        A process that does not read blocks only this thread.
        """
        stdin = self._child.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        with suppress(OSError), stdin:  # it died: `_read_messages` informs the waiting requests
            while (data := self._outgoing.get()) is not None:
                stdin.write(data)
                stdin.flush()

    def _read_messages(self) -> None:
        """Read the messages of the process until it dies.

        If reading fails, every waiting request gets the failure.
        """
        death = Died("the messages of the model's process can no longer be read")
        try:
            garbled = self._deliver_messages()
            death = Died(self._describe_end(garbled))
        finally:
            with self._lock:
                self._death = death
                waiting = list(self._waiting.values())
            for answers in waiting:
                answers.put(death)
            self._outgoing.put(None)
            self._child.kill()  # it is still running if the error was ours
            self._child.wait()

    def _deliver_messages(self) -> str:
        """Deliver each message to its request.

        Return an error text for output that is not a message.
        """
        stdout = self._child.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        with stdout:
            while (body := next_frame(stdout)) is not None:
                try:
                    message = FROM_WORKER.decode(body)
                except UNREADABLE as error:
                    self._child.kill()
                    return f"sent invalid output and was ended: {error}"
                self._last_message_at = monotonic()
                with self._lock:
                    answers = self._waiting.get(
                        message.number
                        if isinstance(message, Begun | GenerationResult)
                        else _LOADING
                    )
                if answers is not None:
                    answers.put(message)
        return ""

    def _describe_end(self, garbled: str) -> str:
        """Describe the end of the process, with the last lines of its stderr."""
        status = self._child.wait()
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        by_itself = (
            f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}{hint}"
        )
        with self._stderr as stderr:
            stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
            stderr_tail = " ".join(stderr.read().decode("utf-8", "replace").split())
        reason = self._stop_reason or garbled or by_itself
        return f"the process of the model {reason}{f': {stderr_tail}' if stderr_tail else ''}"


def _next_message(answers: Answers, seconds: float) -> FromWorker | None:
    """Return the next message; None if it does not come in time.

    Raises Crashed if the process is dead.
    """
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        return None
    if isinstance(answer, Died):
        raise Crashed(str(answer)) from answer
    return answer


def import_path() -> str:
    """Return the import path of this process, for a child that must not use the working directory
    (`python -P`).
    """
    return os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)


def _start_process(command: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process with this import path, in its own process group, so that only the run gets
    Ctrl-C.
    """
    return subprocess.Popen(  # noqa: S603 - WORKER_COMMAND, or a test's replacement
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **_QUIET, "PYTHONPATH": import_path()},
        process_group=0,
    )
