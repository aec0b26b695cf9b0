"""Work spread over threads that mostly wait, its results in order. Few pieces are in flight at any
time, so memory stays flat.

The threads are daemons: Ctrl-C ends the program at once, and the connections that it closes end
what a server was generating.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")
AHEAD = 8
"""Pieces in flight per lane: a slow piece at the head holds back as many before its lane's
neighbours run dry.
"""


class _Slip(Generic[P, R]):
    """A piece on its way through a lane."""

    def __init__(self, piece: P) -> None:
        self.piece = piece
        self.done = Event()
        self.result: R | None = None
        self.error: BaseException | None = None


def in_lanes(work: Callable[[P], R], pieces: Iterable[P], lanes: int) -> Iterator[R]:
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
            while flying and (len(flying) >= lanes * AHEAD or flying[0].done.is_set()):
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
