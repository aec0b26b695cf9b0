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
from threading import Thread
from typing import Any, TypeVar

from finops_cli.errors import Unfinished

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
