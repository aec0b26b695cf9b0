"""Moves parts of the blotter through the desk and gives the output back in input order.

The engine works in this process or in several. Language models are waited for, by as many threads
as they take records side by side; where they have to take turns, a chunk of records passes the
first before the second begins.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finops_cli.domain.finding import Problem
from finops_cli.domain.vocabulary import GuardMode
from finops_cli.kb.load import load_book
from finops_cli.models.engine import Engine
from finops_cli.pipeline.blotter import Part
from finops_cli.pipeline.desk import Desk
from finops_cli.pipeline.duplicates import SeenIds, duplicate
from finops_cli.pipeline.lines import encode, read
from finops_cli.pipeline.screens import screen_for
from finops_cli.pipeline.stations import Stage
from finops_cli.pipeline.tally import Tally
from finops_cli.pipeline.turns import through_models
from finops_cli.pipeline.worked import Done, nothing_done


@dataclass(frozen=True, slots=True)
class DeskPlan:
    """Everything that a process needs to set up a desk of its own with the engine."""

    stage: Stage
    kb: Path
    timed: bool
    guard: GuardMode | None = None

    def open(self) -> Desk:
        book = load_book(self.kb)
        return Desk(
            self.stage, Engine(book), book, self.timed, screen=screen_for(self.guard, False, book)
        )


def work(desk: Desk, part: Part) -> Done:
    """Take every line of `part` through `desk`."""
    done = nothing_done(part.first, part.end)
    # a line makes no cycles; looking for them after every few hundred objects costs a tenth
    gc.disable()
    try:
        for number, line in enumerate(part.lines, start=part.first):
            done.take_down(number, desk.process(number, line))
    finally:
        gc.enable()
    return done


def convey(
    parts: Iterable[Part], desk: Desk, plan: DeskPlan, workers: int, seen: SeenIds
) -> Iterator[Done]:
    """Every part, worked by `desk` or by processes that `plan` sets up, in input order, with
    repeated names rejected.
    """
    for done in _worked(parts, desk, plan, workers):
        repeated = seen.register(done.names)
        if repeated:
            names = {number: name for name, number in done.names}
            for number, first in repeated.items():
                _replace(done, number, desk, names[number], duplicate(names[number], first))
        yield done


def _worked(parts: Iterable[Part], desk: Desk, plan: DeskPlan, workers: int) -> Iterator[Done]:
    if desk.backend.lanes:
        return through_models(parts, desk)
    return (work(desk, part) for part in parts) if workers == 1 else _crew(parts, plan, workers)


def _crew(parts: Iterable[Part], plan: DeskPlan, workers: int) -> Iterator[Done]:
    from finops_cli.pipeline.crew import (
        in_processes,
    )  # multiprocessing costs a single process start-up time that it never uses

    return in_processes(_work_here, parts, workers, _start, (plan,))


def _replace(done: Done, number: int, desk: Desk, name: str, problem: Problem) -> None:
    """Put a rejection in the place of the output of line `number`."""
    at = number - done.first
    was, rejected = Tally(), Tally()
    was.count(read(done.lines[at]), done.owed[at])
    line = desk.reject(number, name, problem)
    rejected.count(line, 0)
    done.tally.add(was, sign=-1)
    done.tally.add(rejected)
    done.lines[at] = encode(line)


_desk_of_this_process: Desk


def _start(plan: DeskPlan) -> None:
    global _desk_of_this_process  # a pool's initializer can hand its work over in no other way
    _desk_of_this_process = plan.open()


def _work_here(part: Part) -> Done:
    return work(_desk_of_this_process, part)
