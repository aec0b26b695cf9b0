"""The first rows of a stored file, each with its faults, and the mapping of a file with columns.

A large file is looked at by its beginning and its end, so that a preview takes the same time and
memory for each file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage, Problem
from finops_cli.errors import FinopsError
from finops_cli.files.recognise import FileKind, Recognised, recognise
from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.files.seen_ids import duplicate
from finops_cli.importers.mapped_rows.mapping import Mapping, read_mapping
from finops_cli.importers.proposal.proposal import Proposal
from finops_cli.importers.table_input import ChosenMapping, TableFile, record_source
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.input_source import default_fail_id
from finops_cli.pipeline.inputs import NO_MOMENT
from finops_cli.pipeline.parse import ParseResult, decode, parse_case, parse_fail
from finops_cli.service.desk.upload.fact_files import (
    FactFile,
    recognise_fact_line,
    recognise_fact_table,
)
from finops_cli.service.store.jobs import JobCommandName
from finops_cli.views.wording import clean

ROWS = 20
_HEAD_BYTES = 512 * 1024
_TAIL_BYTES = 16 * 1024
_SHOWN_FAULTS = 5
_SHOWN_CHARACTERS = 120
_AS_OF = "--as-of"
_HINTS = ("# Proposed by", "# Use:", "# Before you use it")
FIELDS = ("fail_id", "cusip", "side", "qty", "market_value", "counterparty", "age_days")
"""The fields of a record that the preview shows."""


class Fault(Struct, frozen=True, kw_only=True):
    """Why a row cannot be used."""

    field: str
    value: str
    accepted: str
    what: str
    """The fault in a sentence, and the fix."""


class PreviewRow(Struct, frozen=True, kw_only=True):
    """One row of the file."""

    line: int
    cells: tuple[str, ...]
    """The values of `FIELDS`; empty where the row has none."""
    faults: tuple[Fault, ...] = ()
    further_faults: int = 0


class Gap(Struct, frozen=True, kw_only=True):
    """A fact that a mapping leaves open, or a column that it does not use."""

    name: str
    why: str
    choices: tuple[str, ...] = ()


class Preview(Struct, frozen=True, kw_only=True):
    """The beginning of a file."""

    described: str
    """The kind of the file."""
    is_table: bool = False
    command: JobCommandName = "run"
    """The command that takes such records."""
    rows: tuple[PreviewRow, ...] = ()
    is_whole: bool = False
    """The file has no further rows."""
    mapping: str | None = None
    """The mapping of a file with columns, as YAML."""
    missing: tuple[Gap, ...] = ()
    """Facts that a record needs and no column gives."""
    checks: tuple[str, ...] = ()
    """The doubts of the proposal."""
    unused: tuple[Gap, ...] = ()
    facts: FactFile | None = None
    """The file does not list fails: a job on fails takes it beside them."""
    refused: str = ""
    """Why the file cannot be read at all."""
    cure: str = ""

    @property
    def faulty(self) -> int:
        """Return the number of rows with faults."""
        return sum(bool(row.faults) for row in self.rows)


def preview_file(
    path: Path, name: str, scratch: Path, kb: KnowledgeBase, mapping: Path | None = None
) -> Preview:
    """Return the first rows of a file. `scratch` is a new file for an extract of a large one.

    `name` is the name that people gave the file. `mapping`: the mapping to use; None: a proposed
    one. The faults of the content are values; OSError is raised where the file is gone.
    """
    with _extract(path, scratch) as small:
        try:
            recognised = recognise(small)
            facts = None if mapping else recognise_fact_table(recognised)
            if facts is not None:
                return Preview(described=recognised.describe(), facts=facts)
            if recognised.kind in (FileKind.TABLE, FileKind.WORKBOOK):
                return _preview_table(recognised, kb, mapping)
            if recognised.kind is FileKind.EMPTY:
                return _refuse("an empty file", "the file is empty", "choose a file with records")
            return _preview_lines(small, recognised, kb)
        except FinopsError as error:
            shown, cure = str(error), error.cure or ""
            for known, said in ((str(small), name), (str(mapping), "the mapping")):
                shown, cure = shown.replace(known, said), cure.replace(known, said)
            return _refuse("a file that cannot be read as it is", shown, cure)


def _refuse(described: str, refused: str, cure: str) -> Preview:
    return Preview(described=described, refused=clean(refused), cure=clean(cure))


@contextmanager
def _extract(path: Path, scratch: Path) -> Iterator[Path]:
    """Open a small file as it is, and of a large one its first and its last lines."""
    size = path.stat().st_size
    if size <= _HEAD_BYTES + _TAIL_BYTES:
        yield path
        return
    try:
        with path.open("rb") as given, open(scratch, "xb", opener=for_owner_unlinked) as out:
            out.write(_first_lines(given))
            given.seek(size - _TAIL_BYTES)
            out.write(given.read().partition(b"\n")[2])
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _first_lines(given: BinaryIO) -> bytes:
    """Return whole lines; of a line that is longer than all of them, all of it."""
    head = given.read(_HEAD_BYTES)
    if b"\n" in head:
        return head[: head.rfind(b"\n") + 1]
    return head + given.readline(limits.LINE_BYTES)


def _preview_lines(path: Path, recognised: Recognised, kb: KnowledgeBase) -> Preview:
    rows: list[PreviewRow] = []
    command: JobCommandName | None = None
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        number = 0
        while len(rows) < ROWS and (line := file.readline(limits.LINE_BYTES + 2)):
            number += 1
            given = decode(line.strip())
            if command is None and line.strip():
                command = _command_of(given)
                if facts := recognise_fact_line(given):
                    return Preview(described=recognised.describe(), facts=facts)
            rows.append(_line_row(number, given, command or "run", kb, seen))
        is_whole = not file.read(1)
    return Preview(
        described=recognised.describe(),
        command=command or "run",
        rows=tuple(rows),
        is_whole=is_whole,
    )


def _command_of(given: Any) -> JobCommandName:
    """Return the command that takes such a record."""
    if not isinstance(given, dict):
        return "run"
    if "provenance" in given or "verification" in given:
        return "check"
    if "triage" in given:
        return "resolve"
    if {"from", "to", "asset"} <= set(given):
        return "net"
    is_text = "text" in given and set(given) <= {"id", "text", "expected", "label"}
    return "sentiment" if is_text and "Security" not in str(given["text"]) else "run"


def _line_row(
    line: int, given: Any, command: JobCommandName, kb: KnowledgeBase, seen: dict[str, int]
) -> PreviewRow:
    if isinstance(given, Problem):
        return _faulty_row(line, {}, [given])
    record = given if isinstance(given, dict) else {}
    parsed: ParseResult[Any]
    if command == "resolve":
        parsed = parse_case(given, kb)
    elif command in ("run", "triage", "book"):
        parsed = parse_fail(given)
    else:
        return PreviewRow(line=line, cells=_cells(record))
    problems = list(parsed.problems)
    if not problems and parsed.fail_id is not None:
        first = seen.setdefault(parsed.fail_id, line)
        problems += [duplicate(parsed.fail_id, first)] if first != line else []
    return _faulty_row(line, record, problems)


def _faulty_row(line: int, record: dict[str, Any], problems: Sequence[Problem]) -> PreviewRow:
    """Return a row with its faults. The moment is asked for on the page, for all rows at once."""
    found = [describe_fault(each) for each in problems if each.path != NO_MOMENT]
    return PreviewRow(
        line=line,
        cells=_cells(record),
        faults=tuple(found[:_SHOWN_FAULTS]),
        further_faults=max(0, len(found) - _SHOWN_FAULTS),
    )


def describe_fault(problem: Problem) -> Fault:
    """Return a problem as a fault, whose message leaves out what is accepted."""
    accepted = f"; accepted: {problem.accepted}"
    return Fault(
        field=problem.path.strip("/").replace("/", ".") or "the row",
        value=problem.value,
        accepted=problem.accepted,
        what=problem.message.replace(accepted, "", 1),
    )


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a record; those of a record that is a text are its name and the text."""
    if "text" in record and "cusip" not in record:
        name = record.get("fail_id", record.get("id", ""))
        return (_show(name), _show(record["text"]), *("" for _ in FIELDS[2:]))
    fields = {**record, "qty": record.get("qty", record.get("ftd_qty", ""))}
    return tuple(_show(fields.get(name, "")) for name in FIELDS)


def _show(value: object) -> str:
    text = clean(str("" if value is None else value))
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _preview_table(recognised: Recognised, kb: KnowledgeBase, chosen: Path | None) -> Preview:
    with ExitStack() as stack:
        file = TableFile(recognised, stack)
        if chosen is not None:
            mapping = read_mapping(chosen)
            rows, is_whole = _rows_of(file, mapping, kb)
            return Preview(
                described=recognised.describe(),
                is_table=True,
                rows=rows,
                is_whole=is_whole,
                mapping=chosen.read_text(encoding="utf-8", errors="replace"),
            )
        proposal = file.propose(kb)
        lacks = proposal.lacks((_AS_OF,))
        rows, is_whole = _sample_rows(proposal) if lacks else _rows_of(file, proposal.mapping, kb)
        return Preview(
            described=recognised.describe(),
            is_table=True,
            rows=rows,
            is_whole=is_whole,
            mapping=_without_hints(proposal.yaml((_AS_OF,))),
            missing=tuple(
                Gap(name=each.name, why=each.why, choices=each.choices) for each in lacks
            ),
            checks=proposal.checks,
            unused=tuple(Gap(name=each.column, why=each.why) for each in proposal.unused),
        )


def _without_hints(mapping: str) -> str:
    """Leave out how a mapping is used on the command line."""
    lines = mapping.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_HINTS))


def _rows_of(
    file: TableFile, mapping: Mapping, kb: KnowledgeBase
) -> tuple[tuple[PreviewRow, ...], bool]:
    source = record_source(file, ChosenMapping(mapping, "the mapping", None), kb)
    found = list(islice(source.lines(), ROWS + 1))
    rows = [_table_row(each) for each in found if isinstance(each, bytes | Damage)]
    return tuple(rows[:ROWS]), len(found) <= ROWS


def _sample_rows(proposal: Proposal) -> tuple[tuple[PreviewRow, ...], bool]:
    """Return the rows that were read with the open facts filled in, which are not shown."""
    found: list[bytes | Damage] = [*proposal.trial.records, *proposal.trial.refused]
    open_facts = (*proposal.trial.filled, *(each.name for each in proposal.missing))
    rows = sorted((_table_row(each, open_facts) for each in found), key=lambda row: row.line)
    return tuple(rows[:ROWS]), False


def _table_row(given: bytes | Damage, open_facts: Collection[str] = ()) -> PreviewRow:
    if isinstance(given, Damage):
        name = {} if given.fail_id is None else {"fail_id": given.fail_id}
        return _faulty_row(given.line, name, given.problems)
    record = decode(given)
    line = record.get("origin", {}).get("line", 0)
    if record.get("fail_id") == default_fail_id(line):
        del record["fail_id"]
    for fact in open_facts:
        record.pop(fact, None)
    return PreviewRow(line=line, cells=_cells(record))
