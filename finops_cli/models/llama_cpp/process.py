"""The process of one model, seen from the run: requests go in, answers come out, and its death is news to everyone who waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import IO

from finops_cli.models.failures import Crashed, Overdue
from finops_cli.models.llama_cpp.wire import (
    FROM_DECODER,
    Begun,
    Cancel,
    FromDecoder,
    Load,
    Loaded,
    Said,
    Say,
    Unloadable,
    frame,
    next_frame,
)

Answers = SimpleQueue[FromDecoder | None]
"""What comes for one request; None when the process has died."""
_LOADING = 0
"""Stands for the number of the request that loads the model."""
_MODULE = "finops_cli.models.llama_cpp.decoder"
_LAST_WORDS_BYTES = 600
_QUIET = {"GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1"}
"""No debugger at an abort of ggml, which would take its time; no threads of numpy beside those of llama.cpp."""


class Died(Exception):
    """The end of a process: one object for all who lost their answers with it."""


class NotLoaded(Exception):
    """The process could not load its model. `by_itself`: it said why; else it died over it."""

    def __init__(self, why: str, by_itself: bool) -> None:
        super().__init__(why)
        self.by_itself = by_itself


class Process:
    """Starts the process and waits, `patience` seconds at most, until its model is loaded. Raises NotLoaded."""

    def __init__(self, load: Load, patience: float) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - `_hear` closes it when the process is over
        self._child = _started(self._stderr)
        self._writing = Lock()
        self._waiting: dict[int, Answers] = {}
        self._numbers = count(1)
        self._gone = False
        self._death = Died("the process of the model has not ended")
        first = self._expect(_LOADING)
        self._hearing = Thread(target=self._hear, daemon=True)
        self._hearing.start()
        self._send(load)
        try:
            answer = first.get(timeout=patience)
        except Empty:
            self.stop()
            raise NotLoaded(f"it was not loaded within {patience:g} s", by_itself=False) from None
        if not isinstance(answer, Loaded):
            self.stop()
            raise NotLoaded(answer.why if isinstance(answer, Unloadable) else str(self._death), by_itself=answer is not None)
        self.about = answer.about

    @property
    def pid(self) -> int:
        """The process's number on this machine."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether requests can still be sent."""
        return not self._gone

    def say(self, say: Say, seconds: float, silence: float) -> Said:
        """The answer to `say`, whose number is given here. Raises Crashed when the process dies, Overdue after `seconds`.

        The time counts from when the request has its sequence. Then it is cancelled; a process that does not say so within
        `silence` seconds hangs, and is ended.
        """
        number = next(self._numbers)
        answers = self._expect(number)
        try:
            self._send(Say(number, say.prompt, say.seed, say.sampling, say.stops, say.predict, say.schema))
            answer = self._answer(answers, None)
            if isinstance(answer, Begun):
                answer = self._answer(answers, seconds) or self._cancelled(answers, number, seconds, silence)
            assert isinstance(answer, Said)  # noqa: S101 - nothing else has a number
            return answer
        finally:
            self._waiting.pop(number, None)

    def stop(self) -> None:
        """End the process. What waits for it gets Crashed."""
        self._gone = True
        self._child.kill()
        self._hearing.join()

    def _answer(self, answers: Answers, seconds: float | None) -> FromDecoder | None:
        """The next message; None when it does not come in time."""
        try:
            answer = answers.get(timeout=seconds)
        except Empty:
            return None
        if answer is None:
            raise Crashed(str(self._death)) from self._death
        return answer

    def _cancelled(self, answers: Answers, number: int, seconds: float, silence: float) -> Said:
        until = monotonic() + silence
        self._send(Cancel(number))
        answer = self._answer(answers, until - monotonic())
        if answer is None:
            self.stop()
            raise Overdue(f"no answer within {seconds:g} s, and the process of the model hung; it was ended")
        assert isinstance(answer, Said)  # noqa: S101 - Begun came before
        if answer.end == "cancelled":
            raise Overdue(f"no answer within {seconds:g} s; the request was cancelled", answer.text)
        return answer

    def _expect(self, number: int) -> Answers:
        answers: Answers = SimpleQueue()
        self._waiting[number] = answers
        if self._gone:
            answers.put(None)
        return answers

    def _send(self, message: Load | Say | Cancel) -> None:
        data = frame(message)
        assert self._child.stdin is not None  # noqa: S101 - it is a pipe
        try:
            with self._writing:
                self._child.stdin.write(data)
                self._child.stdin.flush()
        except (OSError, ValueError):
            self._gone = True  # dead, or stopped: who waits hears of it from `_hear`

    def _hear(self) -> None:
        """Hand out what the process says, until it dies."""
        with suppress(OSError), self._child, self._stderr:  # closing stdin may say that what it still held reached nobody
            assert self._child.stdout is not None  # noqa: S101 - it is a pipe
            while (body := next_frame(self._child.stdout)) is not None:
                message = FROM_DECODER.decode(body)
                answers = self._waiting.get(message.number if isinstance(message, Begun | Said) else _LOADING)
                if answers is not None:
                    answers.put(message)
            self._gone = True
            self._death = Died(_last_words(self._child.wait(), self._stderr))
            for answers in list(self._waiting.values()):
                answers.put(None)


def _started(stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """The process, with this one's import path, in a group of its own: Ctrl-C is the run's to handle."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", _MODULE]
    return subprocess.Popen(  # noqa: S603 - this very Python
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **_QUIET, "PYTHONPATH": path},
        process_group=0,
    )


def _last_words(status: int, stderr: IO[bytes]) -> str:
    """How a process ended, and the end of what it wrote to stderr."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
    said = " ".join(stderr.read().decode("utf-8", "replace").split())
    ended = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"the process of the model {ended}{hint}{f': {said}' if said else ''}"
