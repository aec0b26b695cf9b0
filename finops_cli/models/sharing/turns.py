"""Turns of several models that share the cores of one processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from finops_cli.domain.stage_names import StageName


class Turns:
    """Admits the requests of one model at a time.

    Two processes with as many threads as there are cores wait for each other after every
    operation, because each operation of llama.cpp ends when the last thread has finished. Together
    they are many times slower than one after the other (`benchmarks/two_models.py`).

    A turn ends when no request of its model runs any more and another model waits, or after
    `longest` requests. Not safe for threads: the caller holds a lock.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._running: Counter[StageName] = Counter()
        self._turn: StageName | None = None
        self._admitted = 0

    def admits(self, stage: StageName, others_wait: bool) -> bool:
        """Return true if a request of `stage` may start now.

        `others_wait`: a request of another model waits.
        """
        if any(count > 0 for other, count in self._running.items() if other != stage):
            return False
        return not (others_wait and stage == self._turn and self._admitted >= self._longest)

    def start(self, stage: StageName) -> None:
        """Count a request that was admitted."""
        if stage != self._turn:
            self._turn, self._admitted = stage, 0
        self._admitted += 1
        self._running[stage] += 1

    def end(self, stage: StageName) -> None:
        """Count the end of a request."""
        self._running[stage] -= 1


class TurnQueue:
    """Turns for threads that wait."""

    def __init__(self, longest: int) -> None:
        self._turns = Turns(longest)
        self._changed = Condition()
        self._waiting: Counter[StageName] = Counter()

    @property
    def waiting(self) -> int:
        """Return the number of requests that wait."""
        with self._changed:
            return self._waiting.total()

    @contextmanager
    def turn(self, stage: StageName) -> Iterator[None]:
        """Wait until a request of `stage` may run, and hold its turn."""
        with self._changed:
            self._waiting[stage] += 1
            try:
                self._changed.wait_for(
                    lambda: self._turns.admits(stage, self._waiting.total() > self._waiting[stage])
                )
            finally:
                self._waiting[stage] -= 1
            self._turns.start(stage)
        try:
            yield
        finally:
            with self._changed:
                self._turns.end(stage)
                self._changed.notify_all()
