"""Admission of requests to a model.

No request is admitted while the breaker is open. Suspects are admitted one at a time. A suspect is
a request that was running when the model's process died. If the process dies again while a suspect
runs alone, the suspect is the cause, and no other request is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Condition
from time import monotonic

from finops_cli.models.circuit_breaker import (
    CircuitBreaker,
    LastFailure,
    RequestOutcome,
    describe_failure,
    record_outcome,
    request_outcome,
)
from finops_cli.models.failures import Crashed, NoEndpointLeft, Unreachable
from finops_cli.models.recovery.incidents import tell_breaker


class AdmissionControl:
    """Admission to one model.

    `cure` is the fix if its process dies or cannot load. Other failures have their own.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        cure: str,
        clock: Callable[[], float] = monotonic,
        model: str = "",
    ) -> None:
        """Keep the parts. `model` is the name in incidents."""
        self._model = model
        self.backend = ""
        self._breaker = breaker
        self._cure = cure
        self._clock = clock
        self._changed = Condition()
        self._inside = 0
        self._suspects: deque[object] = deque()
        self._last_failure = LastFailure()
        self._counted: object = None
        """The last death that was reported to the breaker."""

    @property
    def state(self) -> str:
        """Return the state of the breaker."""
        return self._breaker.state

    @property
    def open(self) -> bool:
        """Return true if the breaker admits every request."""
        return self._breaker.state == "closed"

    def trip(self) -> None:
        """Open the breaker at once: the next request would fail too."""
        with self._changed:
            before = self._breaker.state
            self._breaker.trip(self._clock())
            after = self._breaker.state
            self._changed.notify_all()
        tell_breaker(self.backend, self._model, before, after)

    @contextmanager
    def admit(self, suspect: bool) -> Iterator[None]:
        """Wait for admission, and record the outcome of the request."""
        ticket = object()
        with self._line(ticket) if suspect else nullcontext():
            age = self._enter(ticket, suspect)
            with request_outcome(lambda ended: self._leave(ended, age)):
                yield

    @contextmanager
    def _line(self, suspect: object) -> Iterator[None]:
        """Wait for a place in the line of suspects. While the line has a suspect, no other request
        is admitted.
        """
        with self._changed:
            self._suspects.append(suspect)
        try:
            yield
        finally:
            with self._changed:
                self._suspects.remove(suspect)
                self._changed.notify_all()

    def _enter(self, ticket: object, suspect: bool) -> int:
        """Return the breaker's age at the admission.

        Only a request that nothing but the breaker holds back waits for the pause to end.
        """
        with self._changed:
            while True:
                if self._breaker.state == "given up":
                    text, cure = self._last_failure
                    raise NoEndpointLeft(f"no model answers any more. {text}", cure)
                now = self._clock()
                its_turn = (
                    self._suspects[0] is ticket and self._inside == 0
                    if suspect
                    else not self._suspects
                )
                if its_turn and self._breaker.admits(now):
                    self._inside += 1
                    return self._breaker.age
                self._changed.wait(self._breaker.wait(now) if its_turn else None)

    def _leave(self, ended: RequestOutcome, age: int) -> None:
        with self._changed:
            before = self._breaker.state
            self._inside -= 1
            self._settle(ended, age)
            after = self._breaker.state
            self._changed.notify_all()
        tell_breaker(self.backend, self._model, before, after)

    def _settle(self, ended: RequestOutcome, age: int) -> None:
        """Record the outcome. A process that dies during many requests counts as one failure."""
        failure = ended.failure
        if failure is not None and failure.endpoint_failed:
            about_memory = isinstance(failure, Crashed | Unreachable)
            self._last_failure = describe_failure(failure, self._cure if about_memory else "")
            death = (
                failure.__cause__ if age == self._breaker.age else None
            )  # a late outcome is not counted
            if death is not None and death is self._counted:
                return
            self._counted = death or self._counted
        record_outcome(self._breaker, ended, self._clock(), age)
