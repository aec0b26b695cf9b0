"""The circuit breaker of one endpoint (kb: `model.breaker`, after card 3): closed, open,
half-open, and given up.

A pure state machine: it is told the time and never looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Literal, NamedTuple

from finops_cli.models.failures import ModelError

State = Literal["closed", "open", "half-open", "given up"]


class CircuitBreaker:
    """Consecutive failures open it; after a pause one request tries the endpoint; too many such
    tries in vain and it is given up.
    """

    def __init__(self, settings: Mapping[str, Decimal]) -> None:
        self.state: State = "closed"
        self.age = 0
        """Grows with every change of state: a request belongs to the age in which it was
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
        """Tell whether a request may go out at `now`.

        An open breaker whose pause is over becomes half-open and admits one.
        """
        if self.state == "open" and now >= self._opens_at:
            self._become("half-open")
            return True
        return self.state == "closed"

    def wait(self, now: float) -> float | None:
        """Seconds until it may admit again; None when time alone changes nothing."""
        return max(0.0, self._opens_at - now) if self.state == "open" else None

    def succeeded(self) -> None:
        """The endpoint answered."""
        if self.state == "given up":
            return
        if self.state != "closed":
            self._become("closed")
        self._failures = self._probes = 0
        self._pause = self._first_pause

    def failed(self, now: float, age: int) -> None:
        """The endpoint failed a request that was admitted at `age`.

        Late failures, of requests from before a change, count for nothing.
        """
        if age != self.age:
            return
        if self.state == "closed":
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._open(now)
        elif self.state == "half-open":
            self._probes += 1
            if self._probes >= self._probes_to_give_up:
                self.give_up()
                return
            self._pause = min(self._pause * self._factor, self._longest_pause)
            self._open(now)

    def withdrawn(self, now: float, age: int) -> None:
        """A request that was admitted at `age` ended without a word of the endpoint.

        If it was to try it, the next one does, at once.
        """
        if self.state == "half-open" and age == self.age:
            self._become("open")
            self._opens_at = now

    def trip(self, now: float) -> None:
        """Open at once, whatever was counted: the failure said that the next request will fail
        alike.
        """
        if self.state == "closed":
            self._open(now)

    def give_up(self) -> None:
        """Not to be asked again in this run."""
        self._become("given up")

    def _open(self, now: float) -> None:
        self._become("open")
        self._opens_at = now + self._pause

    def _become(self, state: State) -> None:
        self.state = state
        self.age += 1


class RequestOutcome(NamedTuple):
    """`by_us`: an error that is none of the model's ended the request, so it says nothing about the
    endpoint.
    """

    failure: ModelError | None = None
    by_us: bool = False


@contextmanager
def request_outcome(note: Callable[[RequestOutcome], None]) -> Iterator[None]:
    """Tell `note`, once, how what is done inside ended."""
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
    """Tell `breaker` how a request ended that it admitted at `age`."""
    failure = ended.failure
    if ended.by_us:
        breaker.withdrawn(now, age)
    elif failure is None or not failure.endpoint_failed:
        breaker.succeeded()
    elif failure.policy != "give up":
        breaker.failed(now, age)
    elif breaker.state == "half-open":
        breaker.give_up()
    else:
        breaker.trip(now)


class LastFailure(NamedTuple):
    """The failure that an endpoint had last, for people: `text` names its rule."""

    text: str = ""
    cure: str = ""


def describe_failure(failure: ModelError, cure: str = "") -> LastFailure:
    """Describe a failure; `cure` replaces the one that its kind of failure has."""
    return LastFailure(f"{failure.detail} ({failure.rule})", cure or failure.cure)
