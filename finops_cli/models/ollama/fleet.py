"""Several servers as one: each request goes to the least busy endpoint that has a slot and whose breaker lets it through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING

from finops_cli.models.breaker import Breaker
from finops_cli.models.failures import Busy, EverythingDown, NoReply
from finops_cli.models.protocol import ModelStage

if TYPE_CHECKING:
    import httpx


@dataclass(slots=True)
class Endpoint:
    """A server. `slots`: requests at once, by stage; `room` is what is left of them after it said that it had none (503)."""

    url: str
    client: httpx.Client
    breaker: Breaker
    slots: Mapping[ModelStage, int]
    room: dict[ModelStage, float] = field(default_factory=dict)
    busy: dict[ModelStage, int] = field(default_factory=dict)
    last_failure: str = ""

    def free(self, stage: ModelStage) -> float:
        """Slots of `stage` that nothing is sent to."""
        return int(self.room.get(stage, self.slots[stage])) - self.busy.get(stage, 0)

    def settle(self, stage: ModelStage, failure: NoReply | None, now: float) -> None:
        """Take note of how a request ended. A full queue halves the requests at once; each success wins a part of them back."""
        self.busy[stage] -= 1
        room = self.room.get(stage, float(self.slots[stage]))
        if isinstance(failure, Busy):
            self.room[stage] = max(1.0, room / 2)
        elif failure is None:
            self.room[stage] = min(float(self.slots[stage]), room + 1 / room)
        if failure is None or not failure.endpoint_failed:
            self.breaker.succeeded()
            return
        self.last_failure = f"{failure.detail} ({failure.rule})"
        if failure.policy == "give up":
            self.breaker.give_up()
        else:
            self.breaker.failed(now)


class Fleet:
    """Hands out slots of endpoints, and takes back how it went."""

    def __init__(self, endpoints: list[Endpoint], clock: Callable[[], float] = monotonic) -> None:
        self.endpoints = endpoints
        self._clock = clock
        self._changed = Condition()

    def slots(self, stage: ModelStage) -> int:
        """How many requests of `stage` the fleet takes at once."""
        return sum(endpoint.slots[stage] for endpoint in self.endpoints)

    @contextmanager
    def slot(self, stage: ModelStage) -> Iterator[Endpoint]:
        """An endpoint for one request. Waits for one; raises EverythingDown when all have been given up."""
        endpoint = self._take(stage)
        failure: NoReply | None = None
        try:
            yield endpoint
        except NoReply as error:
            failure = error
            raise
        finally:
            with self._changed:
                endpoint.settle(stage, failure, self._clock())
                self._changed.notify_all()

    def _take(self, stage: ModelStage) -> Endpoint:
        with self._changed:
            while True:
                now = self._clock()
                for endpoint in sorted(self.endpoints, key=lambda one: -one.free(stage)):
                    if endpoint.free(stage) > 0 and endpoint.breaker.admits(now):
                        endpoint.busy[stage] = endpoint.busy.get(stage, 0) + 1
                        return endpoint
                if all(endpoint.breaker.state == "given up" for endpoint in self.endpoints):
                    raise EverythingDown(self._why())
                waits = [wait for endpoint in self.endpoints if (wait := endpoint.breaker.wait(now)) is not None]
                self._changed.wait(min(waits) + 0.001 if waits else None)

    def _why(self) -> str:
        told = "; ".join(f"{endpoint.url}: {endpoint.last_failure}" for endpoint in self.endpoints)
        return f"no model answers any more: {told}. Start Ollama (`ollama serve`; `finops doctor` tells what is wrong)"
