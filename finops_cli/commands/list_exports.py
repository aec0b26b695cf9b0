"""The files of `finops list`: CSV, workbook, HTML page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.views.answer_index import AnswerIndex, Filter
    from finops_cli.views.changes import Changes
    from finops_cli.views.exports.kept_notes import KeptNotes
    from finops_cli.views.exports.report import Report

FILE_FORMATS = ("csv", "xlsx", "html")
_SUFFIXES = {".csv": "csv", ".xlsx": "xlsx", ".html": "html", ".htm": "html"}

Keep = Annotated[
    Path | None,
    typer.Option(
        "--keep",
        metavar="EARLIER.xlsx",
        help="Take over the owners and comments that the desk filled into this workbook.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file to write, and what it shows."""

    format: str
    source: Path | None
    """None: stdin."""
    since: Path | None
    output: Path | None
    """None: stdout."""
    keep: Path | None
    overwrite: bool
    """An earlier file may be replaced."""
    kb_dir: Path
    columns: tuple[str, ...] | None
    """None: those of the format."""
    wanted: Filter
    limit: int | None
    source_label: str = "Output of finops"
    """The kind of the file `source`."""


def refuse_export(format_: str, output: Path | None, overwrite: bool) -> None:
    """Raise UsageError where a file or comments of the desk would be lost, MissingPiece without
    openpyxl.
    """
    from finops_cli.files.safe_io import refuse_to_replace
    from finops_cli.views.exports.sheets import refuse_without_openpyxl

    if format_ == "xlsx":
        refuse_without_openpyxl()
        _refuse_to_lose_notes(output, None)
    if output is not None:
        refuse_to_replace(output, overwrite)


def format_of_suffix(output: str | None) -> str | None:
    """Return the format that the suffix of a file names; None for any other suffix."""
    return None if output is None else _SUFFIXES.get(Path(output).suffix.lower())


def refuse_useless_keep(keep: Path | None, format_: str) -> None:
    """Raise UsageError where the format has no comments to keep."""
    if keep is not None and format_ != "xlsx":
        raise UsageError(
            f"--keep takes comments over into a workbook, and the format is {format_}",
            "write one: -o list.xlsx",
        )


def write_export(
    export: Export, index: AnswerIndex, changes: Changes | None
) -> list[tuple[str, str]]:
    """Write the file. Return labels and texts for stderr.

    Raises UsageError where comments of the desk would be lost, MissingPiece without openpyxl.
    """
    from finops_cli.files.safe_io import refuse_unreadable, writing_whole

    if export.format == "xlsx":
        _refuse_terminal(export.output)
    with ExitStack() as stack:
        kept = None
        if export.keep is not None:
            refuse_unreadable(export.keep)
            _refuse_pipe(export.keep)
            kept = stack.enter_context(closing(_read_notes(export.keep)))
        if export.format == "xlsx":
            _refuse_to_lose_notes(export.output, export.keep)
        report = _make_report(export, index, changes)
        inputs = [export.source, export.since]
        may_replace = export.overwrite or _is_same(export.keep, export.output)
        out = stack.enter_context(writing_whole(export.output, inputs, may_replace))
        _write(report, export.format, out, kept)
        if kept is None:
            return []
        gone = sum(1 for _ in kept.left_over(index))
        said = f"carried over {kept.filled - gone:,} of {kept.filled:,}"
        return [("comments", f"{said}; the others are in the sheet Gone" if gone else said)]


def _write(report: Report, format_: str, out: BinaryIO, kept: KeptNotes | None) -> None:
    from finops_cli.views.exports.csv_file import write_changes_csv, write_csv
    from finops_cli.views.exports.html_page import write_html
    from finops_cli.views.exports.workbook import write_workbook

    if format_ == "xlsx":
        write_workbook(report, out, kept)
    elif format_ == "html":
        write_html(report, out)
    elif report.changes is None:
        write_csv(report.answers(), report.columns, out)
    else:
        changes = islice(report.changes.list(report.wanted), report.limit)
        write_changes_csv(changes, report.columns, out)


def _make_report(export: Export, index: AnswerIndex, changes: Changes | None) -> Report:
    from finops_cli.kb.load import load_kb
    from finops_cli.views.exports.html_page import PAGE_COLUMNS
    from finops_cli.views.exports.report import Report
    from finops_cli.views.exports.workbook import LIST_COLUMNS
    from finops_cli.views.ranked_list import BOOK_COLUMNS, COLUMNS

    kb = load_kb(export.kb_dir)
    plain = tuple(name for name in COLUMNS if name not in BOOK_COLUMNS)
    columns = {"csv": plain, "xlsx": LIST_COLUMNS, "html": PAGE_COLUMNS}[export.format]
    if index.has_book and export.format != "html":  # a page says it in words below each row
        columns += BOOK_COLUMNS
    return Report(
        index=index,
        kb=kb.entries,
        kb_version=kb.version,
        columns=columns if export.columns is None else export.columns,
        wanted=export.wanted,
        limit=export.limit,
        changes=changes,
        origin=_name_origins(export, index),
    )


def _name_origins(export: Export, index: AnswerIndex) -> list[tuple[str, str]]:
    """Name the files with their digests, and what the list leaves out."""
    if export.format == "csv":
        return []
    named = [(export.source_label, _describe(export.source))]
    if export.source is not None:
        named += _read_run_note(export.source)
    if export.since is not None:
        named.append(("Earlier output", _describe(export.since)))
    if export.keep is not None:
        named.append(("Comments from", _describe(export.keep)))
    found = index.count(export.wanted)
    shown = found if export.limit is None else min(found, export.limit)
    filters = "; ".join(_describe_filter(export.wanted))
    named.append(
        ("Shown", f"{shown:,} of {index.count():,} lines" + (f" ({filters})" if filters else ""))
    )
    return named


def _describe(path: Path | None) -> str:
    from finops_cli.files.digests import sha256_of_file

    if path is None:
        return "stdin"
    if not path.is_file():  # a pipe, which can be read only once
        return path.name
    return f"{path.name}, sha256 {sha256_of_file(path)[0]}"


def _describe_filter(wanted: Filter) -> Sequence[str]:
    said = [
        f"{label} {', '.join(values)}"
        for label, values in (
            ("tier", wanted.tiers),
            ("security", wanted.securities),
            ("counterparty", wanted.counterparties),
        )
        if values
    ]
    if wanted.within_days is not None:
        said.append(f"due within {wanted.within_days} settlement days")
    return said


def _read_run_note(source: Path) -> list[tuple[str, str]]:
    """Read which file the run read, from the note beside its output, where there is one."""
    import msgspec

    from finops_cli.domain.exact_json import UNREADABLE
    from finops_cli.pipeline.resume import RunNote, note_path

    try:
        note = msgspec.json.decode(note_path(source).read_bytes(), type=RunNote)
    except (OSError, *UNREADABLE):
        return []
    made = note.fingerprint
    text = f"{made.input_bytes:,} bytes of {made.input_kind}, sha256 {made.input_sha256}"
    named = [("Input of the run", text)]
    if not note.complete:
        named.append(("Not complete", "the run was interrupted; continue it with --resume"))
    return named


def _read_notes(path: Path) -> KeptNotes:
    from finops_cli.views.exports.kept_notes import KeptNotes

    return KeptNotes(path)


def _refuse_to_lose_notes(output: Path | None, keep: Path | None) -> None:
    """Raise UsageError when the output is a workbook with comments that nobody keeps."""
    if output is None or not output.is_file():
        return
    if _is_same(keep, output):
        return
    try:
        with closing(_read_notes(output)) as notes:
            filled = notes.filled
    except UsageError:  # not a workbook of finops list
        return
    if filled:
        raise UsageError(
            f"{output}: the desk filled an owner or a comment into {filled:,}"
            f" row{'' if filled == 1 else 's'}, which would be lost",
            f"take them over with finops list --keep {output}, or choose another file for -o",
        )


def _is_same(keep: Path | None, output: Path | None) -> bool:
    """Test if the workbook whose comments are kept is the output."""
    return keep is not None and output is not None and output.exists() and keep.samefile(output)


def _refuse_pipe(keep: Path) -> None:
    """Raise UsageError for a pipe or a device: a workbook is not read from its beginning."""
    if not keep.is_file():
        raise UsageError(f"--keep {keep}: is a pipe or a device", "give a workbook by its name")


def _refuse_terminal(output: Path | None) -> None:
    if output is None and sys.stdout.isatty():
        raise UsageError("a workbook cannot be shown on a terminal", "write a file: -o list.xlsx")
