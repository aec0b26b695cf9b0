"""The recovery ladder of a model that ran out of memory (kb: `recovery.*`).

It is a pure state machine, as the circuit breaker is: callers pass the time, and do what a rung
says. The first lack of memory reloads the model; each further one within `again_minutes` climbs to
the next rung that changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.failures import Crashed, ModelError, Unreachable

Rung = Literal["reload", "halve", "shrink", "alternate", "next server", "give way"]

IN_PROCESS: tuple[Rung, ...] = ("reload", "halve", "shrink", "alternate", "give way")
"""The rungs of a model in a process of its own: llama.cpp, transformers.

`reload`: end the process, which frees all memory, and load the model again. `halve`: decode half as
many answers at once. `shrink`: cut the context to the longest prompt so far and its answer.
`alternate`: unload the other model. `give way`: open the breaker, which tests the model after a
pause and gives it up after its tests: a record that always fails does not end a run.
"""
ON_SERVER: tuple[Rung, ...] = ("reload", "halve", "next server", "give way")
"""The rungs of a model on a server: unload and warm it up, half the requests at once, another
server.
"""
ON_FOREIGN_SERVER: tuple[Rung, ...] = ("halve", "next server", "give way")
"""The rungs of a model on a server whose protocol cannot unload it."""
_MINUTE_SECONDS = 60


class MemoryLadder:
    """The state of one model.

    `climb` is called for each lack of memory, `succeeded` for each answer.
    """

    def __init__(self, rungs: tuple[Rung, ...], settings: ModelSettings) -> None:
        self._rungs = rungs
        self._again = settings.memory["again_minutes"] * _MINUTE_SECONDS
        self._place = -1
        self._last: float | None = None
        self._has_answered = True

    @property
    def is_recovering(self) -> bool:
        """Return true until the first answer after a lack of memory."""
        return self._last is not None and not self._has_answered

    def climb(self, now: float, act: Callable[[Rung], bool]) -> Rung:
        """Act on a lack of memory at `now`, and return the rung that was taken.

        `act` does what a rung says, and returns false where that would change nothing: then the
        next rung is tried. The last rung stays the last.
        """
        if self._last is None or now - self._last > self._again:
            self._place = -1
        last = len(self._rungs) - 1
        while True:
            self._place = min(self._place + 1, last)
            rung = self._rungs[self._place]
            if act(rung) or self._place == last:
                break
        self._last, self._has_answered = now, False
        return rung

    def succeeded(self) -> bool:
        """Note an answer; true for the first one after a lack of memory."""
        first, self._has_answered = self.is_recovering, True
        return first


def lacks_memory(failure: ModelError, settings: ModelSettings) -> bool:
    """Return true if a failure says that memory ran out (kb: `recovery.memory_words`)."""
    if not isinstance(failure, Crashed | Unreachable):
        return False
    detail = failure.detail.lower()
    return any(words in detail for words in settings.memory_words)
