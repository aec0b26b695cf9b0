"""Sends descriptions of parts through Ray Data and yields the reports of the workers.

Never a pool of a fixed size: where a machine was lost, a restarted worker of such a pool waits for
the processor that its neighbour holds, and the run hangs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from finops_cli.cluster.connect import Needs
from finops_cli.errors import Unfinished

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy, Dataset

_LOOK_SECONDS = 5.0
R = TypeVar("R", bound="Report")


class Watchdog:
    """Knows when nothing has happened for too long.

    `first_seconds` counts until the first sign of life. After it the limit is `factor` times the
    slowest part so far, and `more_seconds`. A sign of life is a report, or a part file that grows.
    `clock` returns seconds since any fixed time.
    """

    def __init__(
        self,
        *,
        first_seconds: float,
        factor: float,
        more_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._limit = first_seconds
        self._factor = factor
        self._more = more_seconds
        self._slowest = 0.0
        self._last = clock()
        self._seen = 0

    def begin(self, size: int) -> None:
        """Leave out what the folder has before a worker starts: no worker wrote it."""
        self._seen = size

    def report(self, seconds: float) -> None:
        """Take note of a part that took `seconds`."""
        self._slowest = max(self._slowest, seconds)
        self._live()

    def look(self, size: int) -> None:
        """Take note of the size of all part files, in bytes."""
        if size != self._seen:
            self._seen = size
            self._live()

    def _live(self) -> None:
        self._last = self._clock()
        self._limit = self._factor * self._slowest + self._more

    @property
    def silence(self) -> float:
        """Return the seconds since the last sign of life."""
        return self._clock() - self._last

    @property
    def is_over(self) -> bool:
        """Return true where the silence is too long."""
        return self.silence > self._limit


def pool_of(workers: int) -> ActorPoolStrategy:
    """Return a pool of at most `workers`, which one worker alone can keep going."""
    from ray.data import ActorPoolStrategy

    return ActorPoolStrategy(
        min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
    )


def refuse_fixed(pool: Any) -> None:
    """Raise ValueError for a pool that needs several workers at once."""
    if pool.min_size > 1:
        raise ValueError(f"a pool of at least {pool.min_size} workers hangs when a machine is lost")


class Report(Protocol):
    """The result of a part."""

    @property
    def seconds(self) -> float:
        """The time that its worker took."""


def make_dataset(
    parts: Sequence[str], worker: type[Any], setup: object, pool: ActorPoolStrategy, needs: Needs
) -> Dataset:
    """Describe the work: one block for each part, which a worker of the pool takes.

    `parts` are descriptions. `worker` is the class that is opened with `setup`.
    """
    import ray.data
    from ray.data import DataContext

    refuse_fixed(pool)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    items = [{"part": part} for part in parts]
    return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        worker,
        batch_size=1,
        compute=pool,
        fn_constructor_args=(setup,),
        num_cpus=needs.cpus,
        num_gpus=needs.gpus or None,
    )


def dispatch(
    dataset: Dataset, count: int, folder: Path, watchdog: Watchdog, decode: Callable[[str], R]
) -> Iterator[R]:
    """Yield a report of each of `count` parts, in the order in which they end.

    Raises Unfinished where nothing has happened for too long, and where Ray gives up.
    """
    reports: SimpleQueue[str | Exception] = SimpleQueue()
    watchdog.begin(_bytes_in(folder))
    Thread(target=_consume, args=(dataset, reports), daemon=True).start()
    looked = monotonic()
    while count:
        try:
            found = reports.get(timeout=_LOOK_SECONDS)
        except Empty:
            found = ""
        if isinstance(found, Exception):
            raise Unfinished(
                f"Ray gave up: {_last_line(found)}", "run the same command with --resume"
            ) from found
        if found:
            count -= 1
            report = decode(found)
            watchdog.report(report.seconds)
            yield report
        if monotonic() - looked > _LOOK_SECONDS:
            looked = monotonic()
            watchdog.look(_bytes_in(folder))
            if watchdog.is_over:
                raise Unfinished(
                    f"no part was finished in {watchdog.silence:,.0f} s, and {count:,} are open;"
                    f" {describe_cluster()}",
                    "mend the cluster (see `ray status`), then run the same command with --resume",
                )


def _consume(dataset: Dataset, reports: SimpleQueue[str | Exception]) -> None:
    try:
        for row in dataset.iter_rows():
            reports.put(row["report"])
    except Exception as error:  # noqa: BLE001 - carried to the thread that waits for it
        reports.put(error)
    else:
        reports.put(RuntimeError("it ended before every part was answered"))


def _bytes_in(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat().st_size
            except OSError:  # it was just deleted
                continue
    return total


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def describe_cluster() -> str:
    """Say which machines are there, and what of their resources is free."""
    import ray

    nodes = ray.nodes()
    alive = [node["NodeManagerAddress"] for node in nodes if node["Alive"]]
    lost = [node["NodeManagerAddress"] for node in nodes if not node["Alive"]]
    whole, free = ray.cluster_resources(), ray.available_resources()
    resources = ", ".join(
        f"{free.get(name, 0):g} of {whole.get(name, 0):g} {name} free"
        for name in ("CPU", "GPU")
        if whole.get(name)
    )
    states = f"machines alive: {', '.join(alive) or 'none'}"
    if lost:
        states += f"; lost: {', '.join(lost)}"
    return f"{states}; {resources or 'no processor is left, so every worker waits'}"
