"""One thread for each hook, so that a hook that is slow, hangs or fails delays nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class HookThread(Generic[T]):
    """Delivers events to one hook, in their order. The thread begins with the first event.

    `deliver` may take its time, and may raise. `settle` is called after it with the event, and with
    the error or None. At most `waiting` events wait; a further one is refused.
    """

    def __init__(
        self,
        deliver: Callable[[T], object],
        waiting: int,
        settle: Callable[[T, Exception | None], None],
    ) -> None:
        self._deliver = deliver
        self._waiting = waiting
        self._settle = settle
        self._events: deque[T] = deque()
        self._changed = Condition()
        self._is_busy = False
        self._thread: Thread | None = None

    def put(self, event: T) -> bool:
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
            failure: Exception | None = None
            try:
                self._deliver(event)
            except Exception as error:  # noqa: BLE001 - any fault of a hook; the next event goes on
                failure = error
            self._settle(event, failure)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
