"""Incidents of models while they answer: lack of memory, recovery, a breaker that opens.

The models tell the board of the process; who watches, such as the monitor, subscribes. The board
keeps this package below the monitor.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Literal, NamedTuple

IncidentName = Literal["oom", "recovered", "breaker_open", "breaker_closed"]


class Incident(NamedTuple):
    """Something that happened to a model."""

    name: IncidentName
    backend: str
    model: str
    """The name of the model, or the address of its server."""
    facts: dict[str, Any]
    """Figures and names; never a text of a record."""


Probe = Callable[[], Any]
"""Describes the state of a backend, in figures and names. It may ask a server, and may raise."""


class IncidentBoard:
    """Passes incidents on to its subscribers, and knows how to ask for the state of each backend.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._subscribers: list[Callable[[Incident], None]] = []
        self._probes: dict[str, Probe] = {}

    def subscribe(self, subscriber: Callable[[Incident], None]) -> None:
        """Call `subscriber` with each incident from now on. It must neither wait nor raise."""
        with self._lock:
            self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Callable[[Incident], None]) -> None:
        """Call `subscriber` no more."""
        with self._lock:
            self._subscribers = [each for each in self._subscribers if each != subscriber]

    def tell(self, incident: Incident) -> None:
        """Tell the subscribers of an incident."""
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber(incident)

    def add_probe(self, name: str, probe: Probe) -> None:
        """Let `probe` describe the backend `name` from now on."""
        with self._lock:
            self._probes[name] = probe

    def remove_probe(self, name: str, probe: Probe) -> None:
        """Forget a probe, unless another one has its name by now."""
        with self._lock:
            if self._probes.get(name) == probe:
                del self._probes[name]

    def describe(self) -> dict[str, Any]:
        """Return the state of each backend; the reason where a backend cannot tell it."""
        with self._lock:
            probes = dict(self._probes)
        found: dict[str, Any] = {}
        for name, probe in probes.items():
            try:
                found[name] = probe()
            except Exception as error:  # noqa: BLE001 - a diagnosis goes on without this part
                found[name] = f"cannot be described: {error}"
        return found


def tell_breaker(backend: str, model: str, before: str, after: str) -> None:
    """Tell the board that a breaker opened or closed; nothing where it did neither."""
    if before == "closed" != after:
        BOARD.tell(Incident("breaker_open", backend, model, {"state": after}))
    elif after == "closed" != before:
        BOARD.tell(Incident("breaker_closed", backend, model, {"state": after}))


BOARD = IncidentBoard()
"""The board of this process."""
