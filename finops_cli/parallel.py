"""Work spread over processes, its results back in order; a few pieces are in flight at any time, so
memory stays flat.
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
"""Pieces in flight per lane: a slow piece at the head holds back as many before its lane's
neighbours run dry.
"""

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
    """`work` of each piece, in order.

    Each process calls `start(*arguments)` first. Raises Unfinished when one dies.
    """
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    context = get_context("spawn")  # the same on every platform, and no threads are copied
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(start, arguments)
    )
    flying: deque[Future[R]] = deque()
    try:
        for piece in pieces:
            flying.append(pool.submit(work, piece) if flying else _first(pool, work, piece))
            if len(flying) >= workers * AHEAD:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    except BrokenProcessPool as error:
        raise Unfinished(
            "a worker process died (out of memory, or killed); what was written so far is whole"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _first(pool: Any, work: Callable[[P], R], piece: P) -> Any:
    """Submit a piece that may start the processes: they inherit that Ctrl-C is the parent's to
    handle.
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
    """A parent that was killed cannot end its workers: they end themselves."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Slip(Generic[P, R]):
    """A piece on its way through a lane."""

    def __init__(self, piece: P) -> None:
        self.piece = piece
        self.done = Event()
        self.result: R | None = None
        self.error: BaseException | None = None


def in_threads(work: Callable[[P], R], pieces: Iterable[P], lanes: int) -> Iterator[R]:
    """`work` of each piece, in order.

    An error of one is raised in its turn: what stands before it is given out first.
    """
    waiting: SimpleQueue[_Slip[P, R] | None] = SimpleQueue()
    flying: deque[_Slip[P, R]] = deque()
    threads = [Thread(target=_lane, args=(work, waiting), daemon=True) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    try:
        for piece in pieces:
            slip: _Slip[P, R] = _Slip(piece)
            flying.append(slip)
            waiting.put(slip)
            while flying and (len(flying) >= lanes * AHEAD_PER_THREAD or flying[0].done.is_set()):
                yield _result(flying.popleft())
        while flying:
            yield _result(flying.popleft())
    finally:
        for _ in threads:
            waiting.put(None)


def _lane(work: Callable[[P], R], waiting: SimpleQueue[_Slip[P, R] | None]) -> None:
    while (slip := waiting.get()) is not None:
        try:
            slip.result = work(slip.piece)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for it, never lost
            slip.error = error
        slip.done.set()


def _result(slip: _Slip[P, R]) -> R:
    slip.done.wait()
    if slip.error is not None:
        raise slip.error
    return slip.result  # type: ignore[return-value]  # set where there is no error
