"""The one thread that writes: what has gathered is committed together, and short work goes first.

Writers that compete for a database wait for each other, for seconds while a long import runs. One
writer that commits what has gathered, and takes short work first, keeps a decision at milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, NamedTuple, TypeVar

from finops_cli.service.store.database import Connection, Work

T = TypeVar("T")
_AT_ONCE = 64
"""Works that are committed together at most."""
_PASSES = 4
"""Commits of short work that may pass an import, so that it goes on under load too."""


class Waiting(NamedTuple):
    """A work, and who waits for its result."""

    work: Work[Any]
    future: Future[Any]


class Outcome(NamedTuple):
    """The outcome of one work: its result, or the error that undid it."""

    future: Future[Any]
    result: Any = None
    error: BaseException | None = None


class GroupCommit:
    """The queues of the writer, and its thread."""

    def __init__(self, commit: Callable[[Sequence[Waiting]], None]) -> None:
        """Begin. `commit` runs works in one transaction and settles their futures."""
        self._commit = commit
        self._soon: deque[Waiting] = deque()
        self._later: deque[Waiting] = deque()
        self._passed = 0
        self._is_closing = False
        self._change = Condition()
        self._thread = Thread(target=self._run, name="finops-writer")
        self._thread.start()

    async def write(self, work: Work[T], soon: bool = True) -> T:
        """Run `work`, and wait for it in an event loop."""
        return await asyncio.wrap_future(self._submit(work, soon))

    def write_now(self, work: Work[T]) -> T:
        """Run `work`, and wait for it in a thread."""
        return self._submit(work, soon=True).result()

    def close(self) -> None:
        """Finish what is queued, and end the thread."""
        with self._change:
            self._is_closing = True
            self._change.notify()
        self._thread.join()

    def _submit(self, work: Work[T], soon: bool) -> Future[T]:
        future: Future[T] = Future()
        with self._change:
            (self._soon if soon else self._later).append(Waiting(work, future))
            self._change.notify()
        return future

    def _run(self) -> None:
        while works := self._take():
            try:
                self._commit(works)
            except Exception as error:  # noqa: BLE001 - without this thread every write would hang
                left = [each.future for each in works if not each.future.done()]
                settle([Outcome(future, error=error) for future in left])

    def _take(self) -> list[Waiting]:
        """Wait for work, and return what is committed together; empty at the end."""
        with self._change:
            while not (self._soon or self._later or self._is_closing):
                self._change.wait()
            if self._later and (not self._soon or self._passed >= _PASSES):
                self._passed = 0
                return [self._later.popleft()]
            self._passed += 1
            return [self._soon.popleft() for _ in range(min(_AT_ONCE, len(self._soon)))]


def run_works(connection: Connection, works: Sequence[Waiting]) -> list[Outcome]:
    """Run works in an open transaction; one that fails undoes itself alone."""
    outcomes: list[Outcome] = []
    for work, future in works:
        connection.execute("SAVEPOINT work")
        try:
            outcomes.append(Outcome(future, work(connection)))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the work
            connection.execute("ROLLBACK TO SAVEPOINT work")
            outcomes.append(Outcome(future, error=error))
        connection.execute("RELEASE SAVEPOINT work")
    return outcomes


def settle(outcomes: Sequence[Outcome]) -> None:
    """Tell everybody who waits what became of the work."""
    for future, result, error in outcomes:
        if not future.set_running_or_notify_cancel():  # whoever asked has gone away
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def fail_all(works: Sequence[Waiting], outcomes: Sequence[Outcome], error: Exception) -> None:
    """Tell everybody that the transaction was not committed: who failed alone keeps its error."""
    failed = {id(each.future): each for each in outcomes if each.error is not None}
    settle([failed.get(id(work.future), Outcome(work.future, error=error)) for work in works])
