"""Spreads work over processes or threads and returns the results in input order.

Only a few pieces are in flight at a time, so memory stays flat.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import parent_process
from multiprocessing.connection import wait
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from finops_cli.errors import Unfinished

AHEAD_PER_THREAD = 8
"""Pieces in flight per thread: a slow piece can hold back this many before threads run idle."""

P = TypeVar("P")
R = TypeVar("R")
AHEAD = 3
"""Pieces in flight per worker: enough to keep it busy, few enough to keep memory flat."""


def in_processes(
    work: Callable[[P], R],
    pieces: Iterable[P],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[R]:
    """Yield `work(piece)` for each piece, in order, computed in worker processes.

    Each process calls `start(*arguments)` first. Raises Unfinished when one dies.
    """
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    context = get_context("spawn")  # the same on every platform, and no threads are copied
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(start, arguments)
    )
    in_flight: deque[Future[R]] = deque()
    try:
        for piece in pieces:
            in_flight.append(_submit(pool, work, piece))
            if len(in_flight) >= workers * AHEAD:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool as error:
        raise Unfinished(
            "a worker process died (out of memory, or killed); what was written so far is whole",
            "run it again with fewer --workers",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: Any, work: Callable[[P], R], piece: P) -> Any:
    """Submit a piece. This may start a process, which inherits that only the parent handles
    Ctrl-C.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.submit(work, piece)
    finally:
        signal.signal(signal.SIGINT, handler)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """End this worker when its parent dies: a killed parent cannot end its workers."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Job(Generic[P, R]):
    """A piece of work in a thread, and its result."""

    def __init__(self, piece: P) -> None:
        self.piece = piece
        self.done = Event()
        self.result: R | None = None
        self.error: BaseException | None = None


def in_threads(work: Callable[[P], R], pieces: Iterable[P], thread_count: int) -> Iterator[R]:
    """Yield `work(piece)` for each piece, in order, computed in threads.

    An error is raised when the turn of its piece comes: earlier results are yielded first.
    """
    waiting: SimpleQueue[_Job[P, R] | None] = SimpleQueue()
    in_flight: deque[_Job[P, R]] = deque()
    threads = [
        Thread(target=_run_jobs, args=(work, waiting), daemon=True) for _ in range(thread_count)
    ]
    for thread in threads:
        thread.start()
    try:
        for piece in pieces:
            job: _Job[P, R] = _Job(piece)
            in_flight.append(job)
            waiting.put(job)
            while in_flight and (
                len(in_flight) >= thread_count * AHEAD_PER_THREAD or in_flight[0].done.is_set()
            ):
                yield _result(in_flight.popleft())
        while in_flight:
            yield _result(in_flight.popleft())
    finally:
        for _ in threads:
            waiting.put(None)


def _run_jobs(work: Callable[[P], R], waiting: SimpleQueue[_Job[P, R] | None]) -> None:
    while (job := waiting.get()) is not None:
        try:
            job.result = work(job.piece)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for it, never lost
            job.error = error
        job.done.set()


def _result(job: _Job[P, R]) -> R:
    job.done.wait()
    if job.error is not None:
        raise job.error
    return job.result  # type: ignore[return-value]  # set unless there is an error
