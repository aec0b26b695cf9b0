"""The list that `run`, `triage` and `resolve` give a person in place of lines of JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from finops_cli.commands.list_exports import (
    FILE_FORMATS,
    Export,
    format_of_suffix,
    refuse_export,
    write_export,
)
from finops_cli.commands.options import path_or_standard
from finops_cli.commands.terminal_width import is_terminal, table_paint, table_width
from finops_cli.errors import Unfinished, UsageError
from finops_cli.files.output_form import OutputForm, form_of_suffix
from finops_cli.models.failures import NoEndpointLeft

if TYPE_CHECKING:
    from finops_cli.commands.run_options import RunOptions
    from finops_cli.pipeline.sequences import Command
    from finops_cli.views.answer_index import AnswerIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A list, and the file without a name that takes the lines of the run until it is made."""

    format: str
    output: str | None
    overwrite: bool
    """An earlier file may be replaced."""
    source: Path | None
    kb_dir: Path
    lines: BinaryIO
    columns: tuple[str, ...] | None
    """None: those that fit the terminal."""

    def show(self) -> None:
        """Write the list of the lines that the run has given so far."""
        from finops_cli.files.jsonl import lines_of
        from finops_cli.views.answer_index import AnswerIndex

        self.lines.seek(0)
        with closing(
            AnswerIndex(
                (line for line, _ in lines_of(self.lines)), has_details=self.format in FILE_FORMATS
            )
        ) as index:
            if self.format == "table":
                self._write_table(index)
            else:
                write_export(self._make_export(), index, None)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Write the list when the block ends; of an interrupted run a table, but never a file."""
        try:
            yield
        except (KeyboardInterrupt, Unfinished, NoEndpointLeft):
            if self.format == "table" and self.output in (None, "-"):
                self.show()
            raise
        self.show()

    def _write_table(self, index: AnswerIndex) -> None:
        from finops_cli.files.safe_io import writing_whole
        from finops_cli.views.ranked_list import choose_columns, render_list

        width = table_width(self.output)
        columns = self.columns or choose_columns(width)
        output = path_or_standard(self.output)
        with writing_whole(output, [self.source], self.overwrite) as written:
            for line in render_list(index.ranked(), columns, width, table_paint(self.output)):
                written.write(f"{line}\n".encode())

    def _make_export(self) -> Export:
        from finops_cli.views.answer_index import EVERYTHING

        return Export(
            format=self.format,
            source=self.source,
            since=None,
            output=path_or_standard(self.output),
            keep=None,
            overwrite=self.overwrite,
            kb_dir=self.kb_dir,
            columns=self.columns,
            wanted=EVERYTHING,
            limit=None,
            source_label="Input of the run",
        )


@contextmanager
def open_view(options: RunOptions, kb_dir: Path, command: Command) -> Iterator[RunView | None]:
    """Open the view that the options ask for; None where the run writes lines of JSON.

    Raises UsageError for a view that cannot be written, MissingPiece without openpyxl.
    """
    has_facts = command != "resolve"  # a plan alone names neither security nor tier
    format_ = choose_format(options, has_files=has_facts)
    if format_ in FORMS_OF_LINES:
        yield None
        return
    _refuse_impossible(format_, options)
    with tempfile.TemporaryFile(prefix="finops-") as lines:
        yield RunView(
            format=format_,
            output=options.output,
            overwrite=options.overwrite,
            source=path_or_standard(options.source),
            kb_dir=kb_dir,
            lines=lines,
            columns=None if has_facts else ("fail_id", "status"),
        )


FORMS_OF_LINES = ("jsonl", "parquet")
"""The formats that have a line for each record, and no list for a person."""


def choose_format(options: RunOptions, *, has_files: bool) -> str:
    """Choose the form of an output: as --format says, else as the suffix of -o does."""
    if options.format_ != "auto":
        return options.format_
    made = form_of_suffix(options.output)
    if made is not None:
        return "parquet" if made is OutputForm.PARQUET else "jsonl"
    named = format_of_suffix(options.output) if has_files else None
    return named or ("table" if is_terminal(options.output) else "jsonl")


def _refuse_impossible(format_: str, options: RunOptions) -> None:
    from finops_cli.files.safe_io import refuse_to_replace

    output = path_or_standard(options.output)
    packed = form_of_suffix(output)
    if packed is not None:
        raise UsageError(
            f"-o {output}: the suffix asks for {packed}, and --format for {format_}",
            f"give another suffix, such as -o list.{'txt' if format_ == 'table' else format_}",
        )
    if options.resume:
        raise UsageError(
            f"--resume continues lines of JSON, and the format is {format_}",
            "continue the run with -o out.jsonl, then write the list with `finops list out.jsonl`",
        )
    if format_ in ("xlsx", "html") and output is None:
        raise UsageError(
            f"--format {format_} needs a file, and stdout is given",
            f"give one with -o, such as -o list.{format_}",
        )
    if format_ in FILE_FORMATS:
        refuse_export(format_, output, options.overwrite)
    elif output is not None:
        refuse_to_replace(output, options.overwrite)
