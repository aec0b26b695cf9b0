"""Report on a dataset from its files.

Every row is verified again and every requirement is tested again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Struct

from finops_cli.datasets.coverage import Counts
from finops_cli.datasets.requirements import Requirement, by_dimension, split_requirement
from finops_cli.datasets.rows import Row
from finops_cli.datasets.splits import Split
from finops_cli.datasets.stages import STAGES, features, stage_named, verify_row
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.files.seen_ids import SeenIds
from finops_cli.kb.rulebook import KnowledgeBase


class Report(Struct, frozen=True, kw_only=True):
    """The contents of the files of one stage."""

    stage: StageName
    rows: int
    bad_rows: int
    faults: list[str]
    """The first faults."""
    counts: dict[str, dict[str, int]]
    requirements: list[Requirement]

    @property
    def is_met(self) -> bool:
        """No row is bad, and no requirement is unmet."""
        return not self.bad_rows and all(each.met is not False for each in self.requirements)


_SHOWN_FAULTS = 20


@dataclass(slots=True)
class _Count:
    """The running count of one stage."""

    rows: int = 0
    bad_rows: int = 0
    faults: list[str] = field(default_factory=list)
    features: Counts = field(default_factory=Counter)


def report(files: Sequence[Path], profile: Profile, kb: KnowledgeBase) -> list[Report]:
    """Report on each stage found in `files` (JSONL rows, or folders of them).

    Raises UsageError if there is nothing to read.
    """
    counts: dict[StageName, _Count] = {}
    with SeenIds() as seen:
        for number, (place, row) in enumerate(_rows(files), start=1):
            stage = row.stage if isinstance(row, Row) else _stage_of(place)
            fault = _fault(place, row, number, seen, kb)
            count = counts.setdefault(stage, _Count())
            count.rows += 1
            if isinstance(row, Row) and fault is None:
                count.features.update(features(row, kb))
                continue
            count.bad_rows += 1
            if len(count.faults) < _SHOWN_FAULTS:
                count.faults.append(f"{place}: {fault}")
    if not counts:
        raise UsageError(
            f"{', '.join(map(str, files))}: no rows found",
            "give .jsonl files of `finops generate`, or their folder",
        )
    return [
        Report(
            stage=stage,
            rows=count.rows,
            bad_rows=count.bad_rows,
            faults=count.faults,
            counts=nested(count.features),
            requirements=requirements(stage, count.features, count.rows, files, profile, kb),
        )
        for stage, count in counts.items()
    ]


def requirements(
    stage: StageName,
    counts: Counts,
    rows: int,
    files: Sequence[Path],
    profile: Profile,
    kb: KnowledgeBase,
) -> list[Requirement]:
    """Test every requirement of the dataset of a stage, in the order of the card."""
    row = stage_named(stage)
    dimensions = by_dimension(counts)
    found = [
        split_requirement(dimensions, rows, kb),
        *row.requirements(dimensions, rows, profile, kb),
    ]
    if row.requirements_of_rows is not None:
        found += row.requirements_of_rows(_rows_of_stage(files, stage))
    return found


def _rows_of_stage(files: Sequence[Path], stage: StageName) -> Iterator[Row]:
    return (row for _, row in _rows(files) if isinstance(row, Row) and row.stage == stage)


def _fault(place: str, row: Row | str, number: int, seen: SeenIds, kb: KnowledgeBase) -> str | None:
    """Return the fault of a row, if any: a bad row, a row in the wrong file, or a copy of an
    earlier row.
    """
    if isinstance(row, str):
        return row
    found = verify_row(row, kb)
    if found:
        return f"{found[0].rule}: {found[0].message}"
    split = next((split for split in get_args(Split) if f"-{split}." in place), row.split)
    if split != row.split:
        return f"data.row: {row.id} belongs to {row.split} but is in a file of {split}"
    content = hashlib.sha256(row.record.replace(row.id, "", 1).encode()).hexdigest()
    if seen.register(
        [(f"id {row.stage} {row.id}", number), (f"content {row.stage} {content}", number)]
    ):
        return f"data.row: {row.id} is here a second time"
    return None


def _rows(files: Iterable[Path]) -> Iterator[tuple[str, Row | str]]:
    """Yield each row with its place, or the fault of its line."""
    decoder = msgspec.json.Decoder(Row)
    for file in list_files(files):
        with file.open("rb") as source:
            for number, (line, _) in enumerate(lines_of(source), start=1):
                try:
                    row = decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    yield f"{file.name}:{number}", f"is not a row: {describe_decode_error(error)}"
                    continue
                if row.stage in STAGES:
                    yield f"{file.name}:{number}", row
                else:
                    accepted = ", ".join(STAGES)
                    fault = f"is not a row: stage {row.stage}. Expected {accepted}"
                    yield f"{file.name}:{number}", fault


def list_files(given: Iterable[Path]) -> Iterator[Path]:
    """List the files to read: each file that is given, and the rows in each folder."""
    for path in given:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise UsageError(
                f"{path}: no such file or folder",
                "give .jsonl files of `finops generate`, or their folder",
            )


def _stage_of(place: str) -> StageName:
    """Return the stage that the file name starts with, else the first stage."""
    return next((name for name in STAGES if place.startswith(name)), next(iter(STAGES)))


def nested(counts: Counts) -> dict[str, dict[str, int]]:
    """Return the counts by dimension and value, sorted by name."""
    nested: dict[str, dict[str, int]] = {}
    for (dimension, value), count in sorted(counts.items()):
        nested.setdefault(dimension, {})[value] = count
    return nested
