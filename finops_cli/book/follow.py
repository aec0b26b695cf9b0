"""`--follow`: changes of the inventory batch by batch, each with the lines that it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec.structs import replace as replace_fields

from finops_cli.book.budget import Budget
from finops_cli.book.planning import plan_book
from finops_cli.book.sent import PartsBefore
from finops_cli.book.settle import BookInput, Sources
from finops_cli.files.jsonl import BATCH_LINES, Lines
from finops_cli.pipeline.book_parts import AttachedPart
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.output import Line, name_place
from finops_cli.pipeline.pipeline import Pipeline

DELTAS = Path("stdin")


class ChangingSources(Sources, Protocol):
    """An inventory file that takes changes."""

    def apply_lines(self, name: Path, lines: list[tuple[int, bytes]]) -> set[str]:
        """Take changes; returns the securities that they name."""


class Revision(NamedTuple):
    """The lines that a batch of changes changes."""

    number: int
    """From 1."""
    securities: int
    """Securities that were planned again."""
    lines: list[Line]


def read_batches(lines: Lines) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the lines up to each empty one, with their numbers."""
    batch: list[tuple[int, bytes]] = []
    for number, (line, _) in enumerate(lines, start=1):
        if line.strip():
            batch.append((number, line))
        elif batch:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(slots=True, kw_only=True)
class Follower:
    """A book that is planned, and changes with its inventory."""

    given: BookInput
    sources: ChangingSources
    source: InputSource
    pipeline: Pipeline
    start: Budget | None
    """The budget; every security is planned again where there is one."""
    revision: int = 0

    def apply(self, batch: list[tuple[int, bytes]]) -> Revision:
        """Take a batch of changes, and plan again with the plan so far as the one that was sent.

        Raises UsageError for a line whose security cannot be read.
        """
        self.revision += 1
        touched = self.sources.apply_lines(DELTAS, batch)
        index = self.given.index
        given = replace(self.given, sent=PartsBefore(index))
        budget = None if self.start is None else self.start.renew()
        with index.watching() as changed:
            summary = plan_book(given, budget, only=touched if budget is None else None)
        return Revision(self.revision, summary.pools, list(self._answer(changed)))

    def _answer(self, changed: dict[int, AttachedPart]) -> Iterator[Line]:
        """Answer the lines of changed parts, in the order of the input."""
        left = len(changed)
        batches = self.source.batches(0, BATCH_LINES)
        while left:
            batch = next(batches)
            for number, line in enumerate(batch.lines, start=batch.first):
                part = changed.get(number)
                if part is not None:
                    left -= 1
                    made = self.pipeline.process(number, line, part).line
                    if batch.place is not None:
                        made = name_place(made, batch.place.after(number - batch.first))
                    yield replace_fields(made, revision=self.revision)
