"""The blotter through language models, in order: side by side where they are all loaded, in turns
where only one fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from finops_cli.pipeline.blotter import Part
from finops_cli.pipeline.desk import Begun, Desk, Written
from finops_cli.pipeline.lanes import in_lanes
from finops_cli.pipeline.worked import Done, nothing_done


def through_models(parts: Iterable[Part], desk: Desk) -> Iterator[Done]:
    """Every part, in order.

    A part has few lines here: each is written as soon as those before it are.
    """
    backend = desk.backend
    for stage in desk.models:
        backend.prepare(stage)
    if backend.in_turns and len(desk.models) > 1:
        yield from _in_turns(iter(parts), desk)
    else:
        yield from in_lanes(lambda part: _through(part, desk), parts, backend.lanes)


def _through(part: Part, desk: Desk) -> Done:
    return _taken_down(
        part,
        (desk.process(number, line) for number, line in enumerate(part.lines, start=part.first)),
    )


def _in_turns(parts: Iterator[Part], desk: Desk) -> Iterator[Done]:
    """A chunk passes stage 1 whole before it enters stage 2: changing over loads a model."""
    backend, (first, second) = desk.backend, desk.models
    while chunk := list(islice(parts, desk.book.answering.chunk)):
        backend.prepare(first)
        begun = list(in_lanes(lambda part: _begin(part, desk), chunk, backend.lanes))
        backend.prepare(second)
        yield from in_lanes(
            lambda pair: _finish(*pair, desk), zip(chunk, begun, strict=True), backend.lanes
        )


def _begin(part: Part, desk: Desk) -> list[Begun]:
    return [desk.begin(number, line) for number, line in enumerate(part.lines, start=part.first)]


def _finish(part: Part, begun: list[Begun], desk: Desk) -> Done:
    return _taken_down(part, map(desk.finish, begun))


def _taken_down(part: Part, outputs: Iterable[Written]) -> Done:
    done = nothing_done(part.first, part.end)
    for number, output in enumerate(outputs, start=part.first):
        done.take_down(number, output)
    return done
