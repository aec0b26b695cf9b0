"""Who may send a request to a model now: nobody while its breaker is open, and suspects one at a time.

A suspect was being answered when the model's process died. Alone, it can take nobody with it, and if the process dies again it is
known who did it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from time import monotonic

from finops_cli.models.breaker import Breaker
from finops_cli.models.failures import EverythingDown, NoReply

_A_LITTLE = 0.001


class Entrance:
    """The door of one model. `cure` ends the message of the EverythingDown that is raised once its breaker has given up."""

    def __init__(self, breaker: Breaker, cure: str, clock: Callable[[], float] = monotonic) -> None:
        self._breaker = breaker
        self._cure = cure
        self._clock = clock
        self._changed = Condition()
        self._inside = 0
        self._suspects: deque[object] = deque()
        self._last_failure = ""
        self._last_death: object = None

    @property
    def open(self) -> bool:
        """Whether the breaker holds nobody back."""
        return self._breaker.state == "closed"

    @contextmanager
    def passed(self, suspect: bool) -> Iterator[None]:
        """Wait for admission; take note of how the request ended."""
        ticket = object()
        self._enter(ticket, suspect)
        failure: NoReply | None = None
        try:
            yield
        except NoReply as error:
            failure = error
            raise
        finally:
            with self._changed:
                self._inside -= 1
                if suspect:
                    self._suspects.remove(ticket)
                self._settle(failure)
                self._changed.notify_all()

    def _enter(self, ticket: object, suspect: bool) -> None:
        with self._changed:
            if suspect:
                self._suspects.append(ticket)
            while not self._admits(ticket, suspect):
                wait = self._breaker.wait(self._clock())
                self._changed.wait(None if wait is None else wait + _A_LITTLE)
            self._inside += 1

    def _admits(self, ticket: object, suspect: bool) -> bool:
        if self._breaker.state == "given up":
            raise EverythingDown(f"{self._last_failure}. {self._cure}")
        mine = self._suspects[0] is ticket and self._inside == 0 if suspect else not self._suspects
        return mine and self._breaker.admits(self._clock())

    def _settle(self, failure: NoReply | None) -> None:
        """A process that dies under many requests has failed once."""
        if failure is None or not failure.endpoint_failed:
            self._breaker.succeeded()
            return
        death = failure.__cause__
        if death is None or death is not self._last_death:
            self._last_death, self._last_failure = death, f"{failure.detail} ({failure.rule})"
            self._breaker.failed(self._clock(), self._breaker.age)
