"""How many fails a filter takes, and where in the queue they are: counted once, and kept.

A jump to row 90,000 begins at a place that is known, and so costs what a jump to row 1,000 costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from finops_cli.service.store.database import Connection
from finops_cli.service.store.fail_query import (
    FailFilter,
    Order,
    Place,
    count_rows,
    hop,
    list_places,
    write_cursor,
)
from finops_cli.service.store.jobs import Job

T = TypeVar("T")
STEP = 1_000
"""Rows between two known places."""
_KEPT_COUNTS, _KEPT_PLACES = 1_000, 200


class Start(NamedTuple):
    """Where a page begins."""

    cursor: str | None
    """The cursor of a known place; None: the beginning of the list."""
    skip: int
    """Rows to leave out after it: fewer than `STEP`."""


class QueueIndex:
    """Counts the fails that filters take, and finds places among them.

    What is counted about a queue that does not grow any more is kept.
    """

    def __init__(self, step: int = STEP) -> None:
        """Begin with nothing. `step`: rows between two known places."""
        self._step = step
        self._counts: _Kept[int] = _Kept(_KEPT_COUNTS)
        self._places: _Kept[tuple[Place, ...]] = _Kept(_KEPT_PLACES)

    def count(self, connection: Connection, job: Job, wanted: FailFilter) -> int:
        """Return how many fails of `job` the filter takes."""
        if wanted.decided == "none" and wanted.assignee is None:
            every, decided = replace(wanted, decided=None), replace(wanted, decided="any")
            return self.count(connection, job, every) - count_rows(connection, job.id, decided)
        key = (job.id, wanted)
        found = self._counts.get(key)
        if found is None:
            found = count_rows(connection, job.id, wanted)
            if _is_final(job, wanted):
                self._counts.put(key, found)
        return found

    def find(
        self, connection: Connection, job: Job, wanted: FailFilter, order: Order, at: int
    ) -> Start:
        """Return where the page begins that has `at` rows before it."""
        if at < self._step:
            return Start(None, at)
        taken: list[Place] = []
        base = wanted
        if wanted.decided == "none":
            base = replace(wanted, decided=None)
            taken = list_places(connection, job.id, replace(wanted, decided="any"), order)
        known = self._extend(connection, job, base, order, at + len(taken))
        # the rows before each known place, without those that are decided
        before = [
            self._step * number - bisect_right(taken, place)
            for number, place in enumerate(known, start=1)
        ]
        number = bisect_right(before, at)
        if number == 0:
            return Start(None, at)
        return Start(write_cursor(order, known[number - 1]), at - before[number - 1])

    def _extend(
        self, connection: Connection, job: Job, wanted: FailFilter, order: Order, at: int
    ) -> tuple[Place, ...]:
        """Return each known place of the list, up to the row `at` at least."""
        key = (job.id, wanted, order)
        kept = self._places.get(key) or ()
        if wanted.is_selective:
            known = list(kept) or list_places(connection, job.id, wanted, order, self._step)
        else:
            known = list(kept)
            while (len(known) + 1) * self._step <= at:
                last = known[-1] if known else None
                place = hop(connection, job.id, wanted, order, last, self._step)
                if place is None:
                    break
                known.append(place)
        if len(known) > len(kept) and _is_final(job, wanted):
            self._places.put(key, tuple(known))
        return tuple(known)


def _is_final(job: Job, wanted: FailFilter) -> bool:
    """Return true if the filter will always take the same fails of the queue."""
    return job.state == "completed" and "GONE" not in wanted.changes and not wanted.has_people


class _Kept(Generic[T]):
    """The values that were used last. PostgreSQL has several threads that read."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
