"""Turns: the requests of one model at a time, so that two models do not compete for the cores."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

from finops_cli.domain.stage_names import StageName
from finops_cli.models.sharing.turns import TurnQueue, Turns


def test_turns_admit_one_model_at_a_time() -> None:
    """A request starts beside requests of its own model, never beside those of another."""
    turns = Turns(longest=10)
    turns.start("triage")
    assert turns.admits("triage", others_wait=True)
    assert not turns.admits("resolver", others_wait=False)
    turns.start("triage")
    turns.end("triage")
    assert not turns.admits("resolver", others_wait=False)
    turns.end("triage")
    assert turns.admits("resolver", others_wait=False)


def test_turn_ends_after_its_longest_if_others_wait() -> None:
    """A model that has had its requests waits for another that waits, and goes on if none does."""
    turns = Turns(longest=2)
    for _ in range(2):
        turns.start("triage")
    assert not turns.admits("triage", others_wait=True)
    assert turns.admits("triage", others_wait=False)
    for _ in range(2):
        turns.end("triage")
    turns.start("resolver")
    turns.end("resolver")
    assert turns.admits("triage", others_wait=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline
        sleep(0.002)


def test_turn_queue_runs_one_model_at_a_time() -> None:
    """Threads of two models run in turns, and all of them end."""
    queue, lock = TurnQueue(longest=4), threading.Lock()
    running: list[StageName] = []
    mixed: list[list[StageName]] = []
    done: list[StageName] = []

    def work(stage: StageName) -> None:
        with queue.turn(stage):
            with lock:
                running.append(stage)
                if len(set(running)) > 1:
                    mixed.append(list(running))
            sleep(0.001)
            with lock:
                running.remove(stage)
                done.append(stage)

    stages: list[StageName] = ["triage", "resolver", "triage"] * 16
    with ThreadPoolExecutor(48) as threads:
        list(threads.map(work, stages))
    assert mixed == []
    assert sorted(done) == sorted(stages)


def test_turn_queue_starves_no_model() -> None:
    """After its longest turn a model waits for another that waits, whoever came first."""
    queue, order = TurnQueue(longest=1), []

    def work(stage: StageName) -> None:
        with queue.turn(stage):
            order.append(stage)

    with ThreadPoolExecutor(2) as threads:
        with queue.turn("triage"):
            other = threads.submit(work, "resolver")
            _wait_until(lambda: queue.waiting == 1)
            again = threads.submit(work, "triage")
            _wait_until(lambda: queue.waiting == 2)
        other.result(10)
        again.result(10)
    assert order == ["resolver", "triage"]


def test_turn_queue_frees_the_turn_of_a_failed_request() -> None:
    """A request that raises ends its turn, so the other model runs."""
    queue, entered = TurnQueue(longest=4), []

    def fail() -> None:
        with queue.turn("triage"):
            raise ValueError

    def run() -> None:
        with queue.turn("resolver"):
            entered.append("resolver")

    with ThreadPoolExecutor(2) as threads:
        failing, running = threads.submit(fail), threads.submit(run)
        assert isinstance(failing.exception(10), ValueError)
        running.result(10)
    assert entered == ["resolver"]


def test_turn_queue_makes_the_other_model_wait() -> None:
    """A request of another model starts only when the running one has ended."""
    queue, entered = TurnQueue(longest=4), threading.Event()

    def run() -> None:
        with queue.turn("resolver"):
            entered.set()

    with ThreadPoolExecutor(1) as threads:
        with queue.turn("triage"):
            other = threads.submit(run)
            _wait_until(other.running)
            assert not entered.wait(0.05)
        other.result(10)
    assert entered.is_set()
