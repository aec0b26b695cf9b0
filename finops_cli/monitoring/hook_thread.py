"""One thread for each hook, so that a hook that is slow, hangs or fails delays nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from finops_cli.monitoring.events import Event


class HookThread:
    """Delivers events to one hook, in their order. The thread begins with the first event.

    `deliver` may take its time, and may raise: `on_failure` is then called with the error. At most
    `waiting` events wait; a further one is refused.
    """

    def __init__(
        self,
        deliver: Callable[[Event], object],
        waiting: int,
        on_failure: Callable[[Event, Exception], None],
    ) -> None:
        self._deliver = deliver
        self._waiting = waiting
        self._on_failure = on_failure
        self._events: deque[Event] = deque()
        self._changed = Condition()
        self._is_busy = False
        self._thread: Thread | None = None

    def put(self, event: Event) -> bool:
        """Hand an event over; false where too many wait already."""
        with self._changed:
            if len(self._events) >= self._waiting:
                return False
            self._events.append(event)
            if self._thread is None:
                self._thread = Thread(target=self._work, daemon=True, name="finops-hook")
                self._thread.start()
            self._changed.notify_all()
            return True

    def drain(self, seconds: float) -> bool:
        """Wait until every event is delivered, at most `seconds`; true if they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._events and not self._is_busy, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._events))
                event = self._events.popleft()
                self._is_busy = True
            try:
                self._deliver(event)
            except Exception as error:  # noqa: BLE001 - any fault of a hook; the next event goes on
                self._on_failure(event, error)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
