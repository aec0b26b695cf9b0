"""The process that writes one export: it reads the database, and writes a file.

A workbook of 100,000 fails takes a minute of processor time; the service answers meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain import exact_json
from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.kb.load import load_kb
from finops_cli.service.fails.views import view_fail
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import UNTOUCHED, State, read_state
from finops_cli.service.store.fail_query import FailFilter, Order, stream_fails
from finops_cli.service.store.fails import FailRow, read_fail_line
from finops_cli.service.store.files import read_file
from finops_cli.service.store.jobs import read_job
from finops_cli.service.store.opening import snapshot
from finops_cli.views.answer_index import AnswerIndex
from finops_cli.views.answers import Answer
from finops_cli.views.exports.cells import DECISION_COLUMNS
from finops_cli.views.exports.csv_file import write_csv
from finops_cli.views.exports.html_page import PAGE_COLUMNS, write_html
from finops_cli.views.exports.report import Report
from finops_cli.views.exports.workbook import LIST_COLUMNS, write_workbook
from finops_cli.views.ranked_list import COLUMNS

ExportFormat = Literal["jsonl", "csv", "xlsx", "html"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
_OWN_COLUMNS = ("owner", "comment")
"""The columns that a workbook has anyway."""


class ExportOrder(Struct, frozen=True, kw_only=True):
    """What is to be written, and from where."""

    database: str
    data: str
    kb_dir: str
    job: str
    wanted: FailFilter
    order: Order
    format: ExportFormat
    output: str


class _Source:
    """The fails of an export, one by one, each with what stands for it."""

    def __init__(self, connection: Connection, asked: ExportOrder) -> None:
        self._connection, self._asked = connection, asked
        self._state = UNTOUCHED
        self.rows = 0

    def fails(self) -> Iterator[tuple[FailRow, State]]:
        """Yield each fail with what stands for it."""
        asked = self._asked
        for row in stream_fails(self._connection, asked.job, asked.wanted, asked.order):
            self.rows += 1
            yield row, read_state(self._connection, row.key)

    def answers(self) -> Iterator[Answer]:
        """Yield each answer with its decision."""
        for row, state in self.fails():
            yield add_decision(row.answer, state)

    def lines(self) -> Iterator[bytes]:
        """Yield each output line; `annotate` is about the last one."""
        for row, state in self.fails():
            self._state = state
            yield read_fail_line(Path(self._asked.data), row).rstrip(b"\n")

    def annotate(self, answer: Answer) -> Answer:
        """Add the decision to the answer of the last line."""
        return add_decision(answer, self._state)


def add_decision(answer: Answer, state: State) -> Answer:
    """Return an answer with what people decided about it."""
    return replace(
        answer,
        decision=describe_decision(state),
        decided_by=state.decided_by,
        decided_at=state.decided_at,
        decision_reason=state.reason,
        owner=state.assignee,
        comment=state.comment,
    )


def describe_decision(state: State) -> str | None:
    """Write what stands in words: `overridden: tier LOW`, `accepted, closed`; None: nothing."""
    words: list[str] = []
    if state.outcome is not None:
        change = state.change
        values = [] if change is None else [("tier", change.tier), ("action", change.action)]
        said = [f"{name} {value}" for name, value in values if value is not None]
        if change is not None and change.steps is not None:
            said.append(f"{len(change.steps)} steps")
        words.append(f"{state.outcome}: {', '.join(said)}" if said else state.outcome)
    if state.accepted_by is not None:
        words.append(f"accepted by {state.accepted_by}")
    if state.has_proposal:
        words.append("an override is proposed")
    if state.is_closed:
        words.append("closed")
    return ", ".join(words) or None


def write_export(asked: ExportOrder, out: BinaryIO) -> int:
    """Write an export, and return the number of its fails."""
    with snapshot(asked.database) as connection:
        source = _Source(connection, asked)
        if asked.format == "jsonl":
            out.writelines(
                exact_json.encode(view_fail(row, state)) + b"\n" for row, state in source.fails()
            )
        elif asked.format == "csv":
            write_csv(source.answers(), (*COLUMNS, *DECISION_COLUMNS), out)
        else:
            _write_report(asked, connection, source, out)
        return source.rows


def _write_report(
    asked: ExportOrder, connection: Connection, source: _Source, out: BinaryIO
) -> None:
    kb = load_kb(Path(asked.kb_dir))
    is_workbook = asked.format == "xlsx"
    index = AnswerIndex(source.lines(), has_details=True, annotate=source.annotate)
    decided = [name for name in DECISION_COLUMNS if not (is_workbook and name in _OWN_COLUMNS)]
    columns = LIST_COLUMNS if is_workbook else PAGE_COLUMNS
    with closing(index):
        report = Report(
            index=index,
            kb=kb.entries,
            kb_version=kb.version,
            columns=(*columns, *decided),
            origin=_name_origins(asked, connection, source.rows),
        )
        (write_workbook if is_workbook else write_html)(report, out)


def _name_origins(asked: ExportOrder, connection: Connection, rows: int) -> list[tuple[str, str]]:
    job = read_job(connection, asked.job)
    if job is None:
        return []
    file = read_file(connection, job.input)
    named = [("Job", f"{job.id} ({job.command}), {job.created}")]
    if file is not None:
        named.append(("Input of the run", f"{file.name or file.id}, sha256 {file.sha256}"))
    chosen = msgspec.to_builtins(asked.wanted)
    filters = "; ".join(f"{name} {_in_words(value)}" for name, value in chosen.items())
    total = job.request_counts["done"]
    shown = f"{rows:,} of {total:,} lines" + (f" ({filters})" if filters else "")
    return [*named, ("Shown", shown)]


def _in_words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def main() -> None:
    """Write the export that stdin describes; stdout has the number of its fails."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=ExportOrder)
    with open(asked.output, "xb", opener=for_owner_unlinked) as out:
        rows = write_export(asked, out)
    sys.stdout.write(f"{rows}\n")


if __name__ == "__main__":
    main()
