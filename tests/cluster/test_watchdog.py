"""A run on a cluster that has come to a halt is given up, and a slow one is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finops_cli.cluster.connect import Needs, Node, count_workers
from finops_cli.cluster.dispatch import Watchdog, dispatch, pool_of, refuse_fixed
from finops_cli.cluster.part_worker import decode_report
from finops_cli.errors import Unfinished


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def open_watchdog() -> tuple[Watchdog, Clock]:
    clock = Clock()
    return Watchdog(first_seconds=900, factor=10, more_seconds=60, clock=clock), clock


def test_first_part_may_take_long() -> None:
    """Until the first sign of life, models may be loaded."""
    watchdog, clock = open_watchdog()
    clock.now = 900
    assert not watchdog.is_over
    clock.now = 901
    assert watchdog.is_over


class NoRows:
    """A dataset that ends before a part was answered."""

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        return iter(())


def test_files_of_the_driver_are_no_sign_of_life(tmp_path: Path) -> None:
    """The driver copies lines into the folder first; workers have as long to open as without."""
    (tmp_path / "000000.in").write_bytes(b"{}\n")
    watchdog, clock = open_watchdog()
    dataset: Any = NoRows()
    with pytest.raises(Unfinished):
        list(dispatch(dataset, 1, tmp_path, watchdog, decode_report))
    watchdog.look(3)
    clock.now = 900
    assert not watchdog.is_over


def test_limit_is_ten_times_the_slowest_part_and_a_minute() -> None:
    """After the first part the limit follows from the slowest part so far."""
    watchdog, clock = open_watchdog()
    watchdog.report(3.0)
    watchdog.report(0.5)
    clock.now = 90
    assert not watchdog.is_over
    clock.now = 91
    assert watchdog.is_over
    watchdog.report(1.0)
    assert not watchdog.is_over


def test_growing_part_file_is_a_sign_of_life() -> None:
    """A part of slow records does not end the run while its lines come."""
    watchdog, clock = open_watchdog()
    watchdog.report(0.01)
    for size in range(1, 50):
        clock.now += 55
        watchdog.look(size)
        assert not watchdog.is_over
    clock.now += 61
    watchdog.look(size)
    assert watchdog.is_over


def test_fixed_pool_is_refused() -> None:
    """One worker alone must be able to go on: a pool of several at once hangs after a loss."""
    pytest.importorskip("ray")
    from ray.data import ActorPoolStrategy

    for count in (1, 2, 64):
        pool = pool_of(count)
        assert (pool.min_size, pool.max_size) == (1, count)
        refuse_fixed(pool)
    with pytest.raises(ValueError, match="hangs when a machine is lost"):
        refuse_fixed(ActorPoolStrategy(size=2))


def test_workers_follow_the_smaller_resource() -> None:
    """A machine takes as many workers as its processors and its GPUs allow."""
    nodes = [Node("a", "10.0.0.1", 8, 2), Node("b", "10.0.0.2", 3, 4), Node("c", "10.0.0.3", 16, 0)]
    assert count_workers(Needs(1.0), nodes) == 27
    assert count_workers(Needs(2.0, 0.5), nodes) == 4 + 1
    assert [node.can_run(Needs(1.0, 0.5)) for node in nodes] == [True, True, False]
