"""Spreads work over processes or threads and returns the results in input order.

Only a few pieces are in flight at a time, so memory stays flat. Pieces that come from a stream may
be waited for: until the next one is there, results are yielded as they get ready.
"""

from __future__ import annotations

import gc
import os
import signal
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from finops_cli.errors import Unfinished

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD_PER_THREAD = 8
"""Pieces in flight per thread: a slow piece can hold back this many before threads run idle."""

P = TypeVar("P")
R = TypeVar("R")
_KEPT_BYTES = 16 * 1024 * 1024
"""A block that is freed once: by its size the allocator of glibc decides how much freed memory it
keeps, here and in a copy of this process. Without it, the memory of each piece is given back to the
system, which is asked for it again.
"""
AHEAD = 2
"""Pieces in flight per worker: enough to keep it busy, few enough to keep memory flat."""
Wait = Callable[[int], bool]
"""Waits for the next piece (true), or until the descriptor can be read (false)."""


def in_processes(
    work: Callable[[P], R],
    pieces: Iterable[P],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    *,
    wait: Wait | None = None,
) -> Iterator[R]:
    """Yield `work(piece)` for each piece, in order, computed in worker processes.

    Each process calls `start(*arguments)` first. `wait` waits for the next piece; None: pieces are
    never waited for. Raises Unfinished when a process dies.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    bytes(_KEPT_BYTES)
    must_start = not _may_fork()
    if not must_start:  # a copy must not write what this process has still to write
        sys.stdout.flush()
        sys.stderr.flush()
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn" if must_start else "fork"),
        initializer=_begin if must_start else _begin_copy,
        initargs=(start, arguments),
    )
    try:
        yield from _in_order(
            pieces, lambda piece: _submit(pool, work, piece), workers * AHEAD, wait
        )
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


def _may_fork() -> bool:
    """Return true where workers can be copies of this process, which has imported and read all.

    A process of one thread has no lock that a copy would wait for. Elsewhere than on Linux, the
    libraries of the system do not expect copies.
    """
    try:
        return sys.platform == "linux" and len([*_THREADS.iterdir()]) == 1
    except OSError:
        return False


_THREADS, _FILES = Path("/proc/self/task"), Path("/proc/self/fd")


def _begin_copy(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Begin a worker that is a copy: with the files and signals of a new process.

    It looks for no garbage in what was copied, which would make the system copy each page of it.
    """
    gc.freeze()
    _close_files()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _begin(start, arguments)


def _close_files() -> None:
    """Close the files that were copied, but no pipe: a lock ends when all copies are closed."""
    for descriptor in [int(each.name) for each in _FILES.iterdir()]:
        with suppress(OSError):
            if descriptor > _STDERR and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)


_STDERR = 2


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # a terminal sends it to every process when it is closed
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """End this worker when its parent dies: a killed parent cannot end its workers."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def in_threads(
    work: Callable[[P], R],
    pieces: Iterable[P],
    thread_count: int,
    *,
    wait: Wait | None = None,
) -> Iterator[R]:
    """Yield `work(piece)` for each piece, in order, computed in threads.

    An error is raised when the turn of its piece comes: earlier results are yielded first. `wait`
    waits for the next piece; None: pieces are never waited for.
    """
    from concurrent.futures import Future

    waiting: SimpleQueue[tuple[P, Future[R]] | None] = SimpleQueue()
    threads = [
        Thread(target=_run_jobs, args=(work, waiting), daemon=True) for _ in range(thread_count)
    ]
    for thread in threads:
        thread.start()

    def start(piece: P) -> Future[R]:
        job: Future[R] = Future()
        waiting.put((piece, job))
        return job

    try:
        yield from _in_order(pieces, start, thread_count * AHEAD_PER_THREAD, wait)
    finally:
        for _ in threads:
            waiting.put(None)


def _run_jobs(work: Callable[[P], R], waiting: SimpleQueue[tuple[P, Future[R]] | None]) -> None:
    while (job := waiting.get()) is not None:
        piece, future = job
        try:
            result = work(piece)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for it, never lost
            future.set_exception(error)
        else:
            future.set_result(result)


def _in_order(
    pieces: Iterable[P], start: Callable[[P], Future[R]], most: int, wait: Wait | None
) -> Iterator[R]:
    """Start each piece, and yield the results in order, with up to `most` pieces in flight."""
    in_flight: deque[Future[R]] = deque()
    bell = None if wait is None else _Bell()
    try:
        source = iter(pieces)
        while True:
            while in_flight and (
                len(in_flight) >= most or _ends_before_next_piece(in_flight[0], wait, bell)
            ):
                yield in_flight.popleft().result()
            try:
                piece = next(source)
            except StopIteration:
                break
            in_flight.append(start(piece))
            if bell is not None:
                in_flight[-1].add_done_callback(bell.ring)
        while in_flight:
            yield in_flight.popleft().result()
    finally:
        if bell is not None:
            bell.close()


def _ends_before_next_piece(job: Future[Any], wait: Wait | None, bell: _Bell | None) -> bool:
    """Wait until `job` is done (true) or the next piece is there (false)."""
    while not job.done():
        if wait is None or bell is None or wait(bell.descriptor):
            return False
        bell.clear()
    return True


class _Bell:
    """Wakes the thread that waits for a descriptor: each job rings it when it is done."""

    def __init__(self) -> None:
        self.descriptor, self._other_end = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._other_end, False)
        self._lock = Lock()
        self._is_closed = False

    def ring(self, _: object) -> None:
        """Make the descriptor readable, from any thread."""
        with self._lock, suppress(BlockingIOError):
            if not self._is_closed:  # a closed descriptor may be that of another file by now
                os.write(self._other_end, b"\0")

    def clear(self) -> None:
        """Make the descriptor wait again."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Close the descriptor; later rings do nothing."""
        with self._lock:
            self._is_closed = True
            os.close(self.descriptor)
            os.close(self._other_end)
