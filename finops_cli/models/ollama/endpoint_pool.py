"""Several servers as one: each request goes to the least busy endpoint that has a slot and whose
breaker lets it through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING

from finops_cli.models.circuit_breaker import (
    CircuitBreaker,
    LastFailure,
    RequestOutcome,
    describe_failure,
    record_outcome,
    request_outcome,
)
from finops_cli.models.failures import Busy, ModelError, NoEndpointLeft
from finops_cli.models.protocol import ModelStage

if TYPE_CHECKING:
    import httpx


@dataclass(slots=True)
class Endpoint:
    """A server.

    `slots`: requests at once, by stage; `capacity` is what is left of them after it said that it
    had none (503).
    """

    url: str
    client: httpx.Client
    breaker: CircuitBreaker
    slots: Mapping[ModelStage, int]
    capacity: dict[ModelStage, float] = field(default_factory=dict)
    busy: dict[ModelStage, int] = field(default_factory=dict)
    last_failure: LastFailure = field(default_factory=LastFailure)

    def free_slots(self, stage: ModelStage) -> int:
        """Slots of `stage` that nothing is sent to."""
        return int(self.capacity.get(stage, self.slots[stage])) - self.busy.get(stage, 0)

    def record_outcome(
        self, stage: ModelStage, outcome: RequestOutcome, now: float, age: int
    ) -> None:
        """Take note of how a request ended that was admitted at `age` of the breaker.

        A full queue halves the requests at once; each success wins a part of them back.
        """
        capacity, failure = self.capacity.get(stage, float(self.slots[stage])), outcome.failure
        if isinstance(failure, Busy):
            self.capacity[stage] = max(1.0, capacity / 2)
        elif failure is None and not outcome.by_us:
            self.capacity[stage] = min(float(self.slots[stage]), capacity + 1 / capacity)
        if failure is not None and failure.endpoint_failed:
            self.last_failure = describe_failure(failure)
        record_outcome(self.breaker, outcome, now, age)


class EndpointPool:
    """Hands out slots of endpoints, and takes back how it went."""

    def __init__(self, endpoints: list[Endpoint], clock: Callable[[], float] = monotonic) -> None:
        self.endpoints = endpoints
        self._clock = clock
        self._changed = Condition()
        self._queues: dict[ModelStage, deque[object]] = {}

    def slots(self, stage: ModelStage) -> int:
        """How many requests of `stage` the pool takes at once."""
        return sum(endpoint.slots[stage] for endpoint in self.endpoints)

    @contextmanager
    def slot(self, stage: ModelStage) -> Iterator[Endpoint]:
        """An endpoint for one request, first come, first served.

        Waits for one; raises NoEndpointLeft when all have been given up.
        """
        endpoint, age = self._acquire(stage)
        with request_outcome(lambda outcome: self._release(endpoint, stage, outcome, age)):
            yield endpoint

    def _release(
        self, endpoint: Endpoint, stage: ModelStage, outcome: RequestOutcome, age: int
    ) -> None:
        with self._changed:
            endpoint.busy[stage] -= 1
            endpoint.record_outcome(stage, outcome, self._clock(), age)
            self._changed.notify_all()

    def mark_working(self, endpoint: Endpoint) -> None:
        """An endpoint that was tried out works again: let the others in."""
        with self._changed:
            endpoint.breaker.succeeded()
            self._changed.notify_all()

    def failed(self, endpoint: Endpoint, failure: ModelError) -> None:
        """A warm-up outside of any slot failed."""
        with self._changed:
            endpoint.last_failure = describe_failure(failure)
            endpoint.breaker.failed(self._clock(), endpoint.breaker.age)

    def _acquire(self, stage: ModelStage) -> tuple[Endpoint, int]:
        ticket = object()
        with self._changed:
            queue = self._queues.setdefault(stage, deque())
            queue.append(ticket)
            try:
                while True:
                    now = self._clock()
                    endpoint = self._select_endpoint(stage, now) if queue[0] is ticket else None
                    if endpoint is not None:
                        endpoint.busy[stage] = endpoint.busy.get(stage, 0) + 1
                        return endpoint, endpoint.breaker.age
                    if all(one.breaker.state == "given up" for one in self.endpoints):
                        raise self._describe_failures()
                    self._changed.wait(
                        self._seconds_to_retry(stage, now) if queue[0] is ticket else None
                    )
            finally:
                queue.remove(ticket)
                self._changed.notify_all()

    def _select_endpoint(self, stage: ModelStage, now: float) -> Endpoint | None:
        """The least busy endpoint that has a slot and whose breaker lets a request through."""
        by_free_slots = sorted(self.endpoints, key=lambda one: -one.free_slots(stage))
        return next(
            (one for one in by_free_slots if one.free_slots(stage) > 0 and one.breaker.admits(now)),
            None,
        )

    def _seconds_to_retry(self, stage: ModelStage, now: float) -> float | None:
        """Until a breaker may let a request through; None where only a request that ends can change
        anything.
        """
        waits = [one.breaker.wait(now) for one in self.endpoints if one.free_slots(stage) > 0]
        return min((wait for wait in waits if wait is not None), default=None)

    def _describe_failures(self) -> NoEndpointLeft:
        failures = [(endpoint.url, endpoint.last_failure) for endpoint in self.endpoints]
        seen = "; ".join(f"{url}: {failure.text}" for url, failure in failures)
        cures = dict.fromkeys(failure.cure for _, failure in failures)
        return NoEndpointLeft(
            f"no model answers any more. {seen}",
            "; ".join((*filter(None, cures), "`finops doctor` shows the state of every server")),
        )
