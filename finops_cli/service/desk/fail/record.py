"""The record of a fail, read again from the input of its job.

An output line has most facts of its record, but not all: the rate of the counterparty, the age of
a receive, the reason of a DK. A page shows them where the input is still there.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from finops_cli.domain.fail import FailRecord
from finops_cli.errors import FinopsError
from finops_cli.files.jsonl import InputLine
from finops_cli.files.recognise import FileKind, recognise
from finops_cli.importers.mapped_rows.mapping import read_mapping
from finops_cli.importers.table_input import ChosenMapping, TableFile, record_source
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.input_source import InputSource, JsonLines, decode_input, input_fail_id
from finops_cli.pipeline.parse import fail_id_of, parse_fail
from finops_cli.service.store.files import files_folder
from finops_cli.service.store.jobs import Job

_MOST_BYTES = 256 * 1024 * 1024
"""A longer input is not read for one page: it takes seconds."""


class GivenRecord(Struct, frozen=True, kw_only=True):
    """A record of the input."""

    line: InputLine
    """As the input has it, with personal data masked; a row of a table is a record."""
    record: FailRecord | None
    """None where it cannot be used."""


def read_record(
    data: Path, job: Job, number: int, fail_id: str, kb: KnowledgeBase
) -> GivenRecord | None:
    """Read record `number`, counted from 1, of the input of `job`.

    None where the input is gone, too long, or does not name this record `fail_id`.
    """
    path = files_folder(data) / job.input
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        with ExitStack() as stack:
            source = _open(data, job, kb, stack)
            batch = None if source is None else next(source.batches(number - 1, 1), None)
    except (FinopsError, OSError, ValueError):
        return None
    if batch is None or not batch.lines:
        return None
    line = batch.lines[0]
    given = decode_input(line)
    if (fail_id_of(given) or input_fail_id(line, number)) != fail_id:
        return None
    return GivenRecord(line=line, record=parse_fail(given).value)


def _open(data: Path, job: Job, kb: KnowledgeBase, stack: ExitStack) -> InputSource | None:
    """Open the input; None for a table whose mapping is not a file of the service."""
    recognised = recognise(files_folder(data) / job.input)
    mapping = job.options.get("map")
    if mapping is not None:
        path = files_folder(data) / str(mapping)
        chosen = ChosenMapping(read_mapping(path, frozenset()), path.name, path)
        return record_source(TableFile(recognised, stack), chosen, kb, None)
    if recognised.kind in (FileKind.TABLE, FileKind.WORKBOOK):
        return None
    return JsonLines(recognised.path, recognised)
