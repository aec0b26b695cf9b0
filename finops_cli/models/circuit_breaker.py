"""The circuit breaker of one endpoint: closed, open, half-open, or given up.

Source: kb `model.breaker`. It is a pure state machine: callers pass the time, and it never reads a
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Literal, NamedTuple

from finops_cli.models.failures import ModelError

State = Literal["closed", "open", "half-open", "given up"]


class CircuitBreaker:
    """The state of one endpoint.

    Consecutive failures open the breaker. After a pause one request tests the endpoint. After too
    many failed tests the endpoint is given up.
    """

    def __init__(self, settings: Mapping[str, Decimal], *, gives_up: bool = True) -> None:
        """Begin closed. `gives_up` False, for a service: it is tried again for ever."""
        self.gives_up = gives_up
        self.state: State = "closed"
        self.age = 0
        """Increased by every change of state. A request belongs to the age in which it was
        admitted.
        """
        self._failures_to_open = int(settings["failures"])
        self._probes_to_give_up = int(settings["probes"])
        self._first_pause, self._longest_pause = float(settings["open"]), float(settings["longest"])
        self._factor = float(settings["factor"])
        self._failures = 0
        self._probes = 0
        self._pause = self._first_pause
        self._opens_at = 0.0

    def admits(self, now: float) -> bool:
        """Return true if a request may be sent at `now`.

        An open breaker becomes half-open after its pause and admits one request.
        """
        if self.state == "open" and now >= self._opens_at:
            self._become("half-open")
            return True
        return self.state == "closed"

    def wait(self, now: float) -> float | None:
        """Return the seconds until it may admit again; None if waiting alone changes nothing."""
        return max(0.0, self._opens_at - now) if self.state == "open" else None

    def succeeded(self) -> None:
        """Record that the endpoint answered."""
        if self.state == "given up":
            return
        if self.state != "closed":
            self._become("closed")
        self._failures = self._probes = 0
        self._pause = self._first_pause

    def failed(self, now: float, age: int) -> None:
        """Record that the endpoint failed a request that was admitted at `age`.

        Late failures of requests from before a change of state are ignored.
        """
        if age != self.age:
            return
        if self.state == "closed":
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._open(now)
        elif self.state == "half-open":
            self._probes += 1
            if self.gives_up and self._probes >= self._probes_to_give_up:
                self.give_up()
                return
            self._pause = min(self._pause * self._factor, self._longest_pause)
            self._open(now)

    def withdrawn(self, now: float, age: int) -> None:
        """Record that a request admitted at `age` ended without a result of the endpoint.

        If it was a test request, the next request tests the endpoint at once.
        """
        if self.state == "half-open" and age == self.age:
            self._become("open")
            self._opens_at = now

    def trip(self, now: float) -> None:
        """Open at once, whatever the count, because the next request will fail too."""
        if self.state == "closed":
            self._open(now)

    def give_up(self) -> None:
        """Stop using the endpoint in this run."""
        self._become("given up")

    def _open(self, now: float) -> None:
        self._become("open")
        self._opens_at = now + self._pause

    def _become(self, state: State) -> None:
        self.state = state
        self.age += 1


class RequestOutcome(NamedTuple):
    """The outcome of a request."""

    failure: ModelError | None = None
    by_us: bool = False
    """An error outside the model ended the request, so the endpoint is not to blame."""


@contextmanager
def request_outcome(note: Callable[[RequestOutcome], None]) -> Iterator[None]:
    """Call `note` once with the outcome of the block."""
    ended = RequestOutcome(by_us=True)
    try:
        yield
        ended = RequestOutcome()
    except ModelError as error:
        ended = RequestOutcome(error)
        raise
    finally:
        note(ended)


def record_outcome(breaker: CircuitBreaker, ended: RequestOutcome, now: float, age: int) -> None:
    """Record in `breaker` the outcome of a request that it admitted at `age`."""
    failure = ended.failure
    if ended.by_us:
        breaker.withdrawn(now, age)
    elif failure is None or not failure.endpoint_failed:
        breaker.succeeded()
    elif failure.policy != "give up":
        breaker.failed(now, age)
    elif breaker.state == "half-open":
        if breaker.gives_up:
            breaker.give_up()
        else:
            breaker.failed(now, age)
    else:
        breaker.trip(now)


class LastFailure(NamedTuple):
    """The last failure of an endpoint, for people."""

    text: str = ""
    """The rule and the detail of the failure."""
    cure: str = ""


def describe_failure(failure: ModelError, cure: str = "") -> LastFailure:
    """Describe a failure. `cure` replaces the cure of its kind."""
    return LastFailure(f"{failure.detail} ({failure.rule})", cure or failure.cure)
