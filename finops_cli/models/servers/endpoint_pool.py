"""Several servers used as one.

Each request goes to the least busy endpoint that has a free slot and whose breaker admits it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING

from finops_cli.domain.stage_names import StageName
from finops_cli.models.circuit_breaker import (
    CircuitBreaker,
    LastFailure,
    RequestOutcome,
    describe_failure,
    record_outcome,
    request_outcome,
)
from finops_cli.models.failures import (
    Busy,
    EndpointsDown,
    Interrupted,
    ModelError,
    NoEndpointLeft,
)
from finops_cli.models.recovery.incidents import tell_breaker
from finops_cli.models.sharing.turns import Turns

if TYPE_CHECKING:
    import httpx


@dataclass(slots=True)
class Endpoint:
    """A server."""

    url: str
    client: httpx.Client
    breaker: CircuitBreaker
    slots: Mapping[StageName, int]
    """Maximum number of requests at once, by stage; without the stages of other servers."""
    capacity: dict[StageName, float] = field(default_factory=dict)
    """The current maximum; lower than `slots` after the server reported a full queue (503)."""
    busy: dict[StageName, int] = field(default_factory=dict)
    last_failure: LastFailure = field(default_factory=LastFailure)
    turns: Turns | None = None
    """Of the models that share the server's processor; None if they need none."""

    def free_slots(self, stage: StageName, others_wait: bool) -> int:
        """Return the free slots of `stage`; none while it is the turn of another model, or on a
        server without the model.
        """
        if stage not in self.slots:
            return 0
        if self.turns is not None and not self.turns.admits(stage, others_wait):
            return 0
        return int(self.capacity.get(stage, self.slots[stage])) - self.busy.get(stage, 0)

    def start(self, stage: StageName) -> None:
        """Take a slot."""
        self.busy[stage] = self.busy.get(stage, 0) + 1
        if self.turns is not None:
            self.turns.start(stage)

    def end(self, stage: StageName) -> None:
        """Give a slot back."""
        self.busy[stage] -= 1
        if self.turns is not None:
            self.turns.end(stage)

    def record_outcome(
        self, stage: StageName, outcome: RequestOutcome, now: float, age: int
    ) -> None:
        """Record the outcome of a request that was admitted at `age` of the breaker.

        A full queue halves the maximum of requests at once. Each success raises it again by a part.
        A server that ends an answer for another request never gets as many at once again.
        """
        if isinstance(outcome.failure, Interrupted):
            self.slots = {each: max(1, most // 2) for each, most in self.slots.items()}
            self.capacity = {
                each: min(most, float(self.slots[each])) for each, most in self.capacity.items()
            }
        capacity, failure = self.capacity.get(stage, float(self.slots[stage])), outcome.failure
        if isinstance(failure, Busy):
            self.capacity[stage] = max(1.0, capacity / 2)
        elif failure is None and not outcome.by_us:
            self.capacity[stage] = min(float(self.slots[stage]), capacity + 1 / capacity)
        if failure is not None and failure.endpoint_failed:
            self.last_failure = describe_failure(failure)
        record_outcome(self.breaker, outcome, now, age)


class EndpointPool:
    """Assigns slots of endpoints, and records the outcome of each request."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        clock: Callable[[], float] = monotonic,
        *,
        backend: str = "ollama",
        waits: bool = True,
    ) -> None:
        """Keep the endpoints. `backend` is their name in incidents. `waits` False, for a service:
        no request waits for a breaker.
        """
        self.backend = backend
        self.endpoints = endpoints
        self._clock = clock
        self._waits = waits
        self._changed = Condition()
        self._queues: dict[StageName, deque[object]] = {}

    def slots(self, stage: StageName) -> int:
        """Return the maximum number of requests of `stage` at once."""
        return sum(endpoint.slots.get(stage, 0) for endpoint in self.endpoints)

    @contextmanager
    def slot(self, stage: StageName) -> Iterator[Endpoint]:
        """Wait for a slot and yield its endpoint, first come, first served.

        Raises NoEndpointLeft if all endpoints have been given up, and EndpointsDown if none is in
        use and requests do not wait.
        """
        endpoint, age = self._acquire(stage)
        with request_outcome(lambda outcome: self._release(endpoint, stage, outcome, age)):
            yield endpoint

    def _release(
        self, endpoint: Endpoint, stage: StageName, outcome: RequestOutcome, age: int
    ) -> None:
        with self._changed:
            before = endpoint.breaker.state
            endpoint.end(stage)
            endpoint.record_outcome(stage, outcome, self._clock(), age)
            after = endpoint.breaker.state
            self._changed.notify_all()
        tell_breaker(self.backend, endpoint.url, before, after)

    def take_turns(self, urls: Collection[str], longest: int) -> None:
        """Let the models of the endpoints at `urls` take turns, of up to `longest` requests, if
        they do not yet.
        """
        with self._changed:
            for endpoint in self.endpoints:
                if endpoint.url in urls and endpoint.turns is None:
                    endpoint.turns = Turns(longest)
                    for stage, running in endpoint.busy.items():
                        for _ in range(running):
                            endpoint.turns.start(stage)

    def mark_working(self, endpoint: Endpoint) -> None:
        """Record that an endpoint passed its test, and admit other requests."""
        with self._changed:
            before = endpoint.breaker.state
            endpoint.breaker.succeeded()
            self._changed.notify_all()
        tell_breaker(self.backend, endpoint.url, before, "closed")

    def failed(self, endpoint: Endpoint, failure: ModelError) -> None:
        """Record that a warm-up outside of any slot failed."""
        with self._changed:
            endpoint.last_failure = describe_failure(failure)
            endpoint.breaker.failed(self._clock(), endpoint.breaker.age)

    def halve(self, endpoint: Endpoint) -> bool:
        """Halve the requests at once, for all stages; false if none has more than one."""
        with self._changed:
            before = {
                stage: endpoint.capacity.get(stage, float(most))
                for stage, most in endpoint.slots.items()
            }
            endpoint.capacity = {stage: max(1.0, most / 2) for stage, most in before.items()}
            return endpoint.capacity != before

    def has_others(self, endpoint: Endpoint) -> bool:
        """Return true if other servers can be asked for everything that this one answers."""
        with self._changed:
            others = [one for one in self.endpoints if one is not endpoint]
            return all(
                any(stage in one.slots and one.breaker.state != "given up" for one in others)
                for stage in endpoint.slots
            )

    def trip(self, endpoint: Endpoint) -> None:
        """Open the breaker of a server at once: the next request would fail too."""
        with self._changed:
            before = endpoint.breaker.state
            endpoint.breaker.trip(self._clock())
            after = endpoint.breaker.state
            self._changed.notify_all()
        tell_breaker(self.backend, endpoint.url, before, after)

    def _acquire(self, stage: StageName) -> tuple[Endpoint, int]:
        ticket = object()
        with self._changed:
            queue = self._queues.setdefault(stage, deque())
            queue.append(ticket)
            try:
                while True:
                    now = self._clock()
                    endpoint = self._select_endpoint(stage, now) if queue[0] is ticket else None
                    if endpoint is not None:
                        endpoint.start(stage)
                        return endpoint, endpoint.breaker.age
                    able = [one for one in self.endpoints if stage in one.slots]
                    if all(one.breaker.state == "given up" for one in able):
                        raise _describe_failures(able)
                    if not self._waits:
                        _refuse_to_wait(able, now)
                    self._changed.wait(
                        self._seconds_to_retry(stage, now) if queue[0] is ticket else None
                    )
            finally:
                queue.remove(ticket)
                self._changed.notify_all()

    def _select_endpoint(self, stage: StageName, now: float) -> Endpoint | None:
        """Select the least busy endpoint with a free slot and a breaker that admits a request."""
        free = [(self._free_slots(one, stage), one) for one in self.endpoints]
        by_free_slots = sorted(free, key=lambda each: -each[0])
        return next(
            (one for slots, one in by_free_slots if slots > 0 and one.breaker.admits(now)), None
        )

    def _free_slots(self, endpoint: Endpoint, stage: StageName) -> int:
        others_wait = any(queue for other, queue in self._queues.items() if other != stage)
        return endpoint.free_slots(stage, others_wait)

    def _seconds_to_retry(self, stage: StageName, now: float) -> float | None:
        """Return the seconds until a breaker may admit a request; None if only the end of a running
        request can change anything.
        """
        waits = [
            one.breaker.wait(now) for one in self.endpoints if self._free_slots(one, stage) > 0
        ]
        return min((wait for wait in waits if wait is not None), default=None)

    def states(self) -> dict[str, str]:
        """Return the state of each breaker by the address of its server."""
        with self._changed:
            return {endpoint.url: endpoint.breaker.state for endpoint in self.endpoints}


def _refuse_to_wait(endpoints: list[Endpoint], now: float) -> None:
    """Raise EndpointsDown if every breaker is open, or tests its server."""
    if any(one.breaker.state == "closed" for one in endpoints):
        return
    waits = [one.breaker.wait(now) for one in endpoints]
    seconds = min((wait for wait in waits if wait is not None), default=1.0)
    found = _describe_failures(endpoints)
    raise EndpointsDown(str(found), found.cure, seconds)


def _describe_failures(endpoints: list[Endpoint]) -> NoEndpointLeft:
    failures = [(endpoint.url, endpoint.last_failure) for endpoint in endpoints]
    seen = "; ".join(f"{url}: {failure.text}" for url, failure in failures)
    cures = dict.fromkeys(failure.cure for _, failure in failures)
    return NoEndpointLeft(
        f"no model answers any more. {seen}",
        "; ".join((*filter(None, cures), "`finops doctor` shows the state of every server")),
    )
