"""Held-out records, generated from a seed or read from a file.

A row of the train split is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from finops_cli.datasets.rows import Row
from finops_cli.datasets.splits import content_key, split_of
from finops_cli.datasets.stages import STAGES
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.finding import Damage
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.files.jsonl import lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.files.parquet_rows import is_parquet
from finops_cli.files.safe_io import whole
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import decode
from finops_cli.pipeline.stored.parquet_source import ParquetSource
from finops_cli.pipeline.stored.patterns import find_files, is_several


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """The records that an evaluation sends to a backend."""

    stage: StageName
    rows: int | None
    """None: every record of a file, or the default number of the knowledge base."""
    seed: int
    profile: Profile
    data: Path | None
    """Records: a file, a folder or a pattern of files; None: generate them from `seed`."""


def write_records(wanted: SampleOptions, path: Path, kb: KnowledgeBase) -> int:
    """Write the records to `path`, one a line, and return their number. Raises UsageError."""
    count = 0
    with whole(path) as file:
        for line in _lines(wanted, kb):
            file.write(line + b"\n")
            count += 1
        if not count:
            raise UsageError(
                f"{wanted.data}: contains no records", "give a file with a record on each line"
            )
    return count


def _lines(wanted: SampleOptions, kb: KnowledgeBase) -> Iterator[bytes]:
    if wanted.data is None:
        rows = wanted.rows or kb.evaluation.rows[wanted.stage]
        return (_made(wanted, index, kb) for index in range(rows))
    paths = find_files(wanted.data).paths if is_several(wanted.data) else (wanted.data,)
    read = chain.from_iterable(_read(wanted, path, kb) for path in paths)
    return islice(read, wanted.rows)


def _made(wanted: SampleOptions, number: int, kb: KnowledgeBase) -> bytes:
    """Generate record `number` (from 0) of the eval split, as `finops generate --seed` does."""
    every = kb.datasets.eval_every
    index = number * every + every - 1
    row = STAGES[wanted.stage].make_row(index, wanted.seed, kb, wanted.profile)
    return row.record.encode()


def _read(wanted: SampleOptions, path: Path, kb: KnowledgeBase) -> Iterator[bytes]:
    """Read rows of `finops generate` and return their records, or read records and cases as they
    are.
    """
    for number, line in enumerate(_lines_of(path, wanted.stage), start=1):
        given = decode(line)
        if not isinstance(given, dict) or "completion" not in given:
            yield line
            continue
        row = _row(given, path, number)
        if row.stage != wanted.stage:
            raise UsageError(
                f"{path} line {number}: is a row of stage {row.stage}",
                f"give --stage {row.stage}",
            )
        _refuse_seen(row, path, number, kb)
        yield row.record.encode()


def _lines_of(path: Path, stage: StageName) -> Iterator[bytes]:
    """Read the lines of a file. A row of Parquet is one: its column `line`, else its fields.

    Raises UsageError for a row that gives no record.
    """
    if not is_parquet(path):
        with reading_lines(path) as file:
            yield from (line for line, _ in lines_of(file))
        return
    for line in ParquetSource(path, GRADED_STAGES[stage].record_fields).lines():
        if isinstance(line, Damage):
            problem = line.problems[0]
            raise UsageError(
                f"{path} row {line.line}: {problem.message}", "correct the row, or leave it out"
            )
        yield line


def _row(given: dict[str, Any], path: Path, number: int) -> Row:
    try:
        return msgspec.convert(given, Row)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path} line {number} is not a row of `finops generate`:"
            f" {describe_decode_error(error)}",
            "give an eval split of `finops generate`, or fail records",
        ) from error


def _refuse_seen(row: Row, path: Path, number: int, kb: KnowledgeBase) -> None:
    """Refuse a row that belongs to the train split.

    The content decides the split, whatever the row says.
    """
    record = decode(row.record.encode())
    taken = GRADED_STAGES[row.stage].parse(record, kb)
    if taken is not None and split_of(content_key(taken), kb.datasets.eval_every) == "train":
        raise UsageError(
            f"{path} line {number}: {row.id} belongs to the train split, so a model may have"
            " been trained on it",
            f"give the eval split ({row.stage}-eval.jsonl of `finops generate`)",
        )
