"""The options for a file with columns, and the input of a run by its kind."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.files.recognise import Recognised
    from finops_cli.importers.mapped_rows.table_records import Completion
    from finops_cli.importers.proposal.proposal import Proposal
    from finops_cli.importers.record_source import RecordSource
    from finops_cli.importers.table_input import ChosenMapping, TableFile
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.input_source import InputSource

MapFile = Annotated[
    Path | None,
    typer.Option(
        "--map",
        metavar="MAPPING.yaml",
        help="File that names the column of each record field, for CSV and .xlsx; see `finops"
        " schema mapping`.",
    ),
]
Accept = Annotated[
    bool,
    typer.Option(
        "--accept",
        help="Use the mapping that finops proposes for a CSV or .xlsx file. Without --map and"
        " --accept, finops prints it.",
    ),
]
SaveMap = Annotated[
    Path | None,
    typer.Option(
        "--save-map",
        metavar="MAPPING.yaml",
        help="Write the proposed mapping to this file, to correct it or to use it again.",
    ),
]
AS_OF_OPTION = "--as-of"
_PROPOSED = "the proposed mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """Facts that other options of the command add to the records of a file with columns."""

    options: tuple[str, ...] = ()
    """Options whose facts a mapping may lack: --as-of, --inventory."""
    fields: tuple[str, ...] = ()
    """The fields of a record that they give."""
    complete: Completion | None = None
    """Adds the facts of other files to a record."""


NOTHING_SUPPLIED = Supplied()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How the columns of a file become the fields of records."""

    map_file: MapFile = None
    accept: Accept = False
    save_map: SaveMap = None

    @property
    def names(self) -> list[str]:
        """The options that are given, as a user types them."""
        given = {
            "--map": self.map_file is not None,
            "--accept": self.accept,
            "--save-map": self.save_map is not None,
        }
        return [name for name, is_given in given.items() if is_given]


def open_input(
    path: Path | None,
    options: TableOptions,
    kb_dir: Path,
    stack: ExitStack,
    *,
    quiet: bool = False,
    supplied: Supplied = NOTHING_SUPPLIED,
) -> InputSource:
    """Open the input of a run by its kind; a workbook is closed with `stack`.

    `path` None is stdin. `supplied` are options that give facts which a mapping may then lack.
    Raises UsageError, after the proposed mapping was printed where the file needs one.
    """
    from finops_cli.domain.fail import FailRecord
    from finops_cli.files.parquet_rows import is_parquet
    from finops_cli.files.recognise import FileKind, recognise
    from finops_cli.files.safe_io import refuse_unreadable
    from finops_cli.pipeline.input_source import JsonLines, refuse_kind
    from finops_cli.pipeline.stored.parquet_source import ParquetSource

    if path is not None:
        refuse_unreadable(path)
    if path is None or not path.is_file():
        return _open_pipe(path, options, kb_dir, supplied)
    if is_parquet(path):
        if options.names:
            raise UsageError(
                f"{path}: is Parquet; {options.names[0]} is for CSV and .xlsx",
                f"leave {' and '.join(options.names)} out, and name the columns as the fields of a"
                " record",
            )
        return ParquetSource(path, (*FailRecord.__struct_fields__, "text"))
    recognised = recognise(path)
    refuse_kind(recognised.kind, str(path))
    is_text = recognised.kind in (FileKind.TEXT, FileKind.EMPTY)
    is_mapped_text = is_text and options.map_file is not None  # the mapping knows better
    if is_mapped_text or recognised.kind in (FileKind.TABLE, FileKind.WORKBOOK):
        return open_table(recognised, options, kb_dir, stack, quiet=quiet, supplied=supplied)
    if options.names:
        raise UsageError(
            f"{path}: is {recognised.describe()}; {options.names[0]} is for CSV and .xlsx",
            f"leave {' and '.join(options.names)} out",
        )
    return JsonLines(path, recognised)


def open_several(
    path: Path, options: TableOptions | None = None, *, has_cases: bool = False
) -> InputSource | None:
    """Open the files of a folder or a pattern; None for a path of one file.

    Raises UsageError for a file that is neither JSON Lines nor Parquet, and for a mapping.
    """
    from finops_cli.pipeline.stored.file_set import FileSet
    from finops_cli.pipeline.stored.patterns import find_files, is_several

    if not is_several(path):
        return None
    if options is not None and options.names:
        raise UsageError(
            f"{path}: {options.names[0]} is for one file with columns",
            "make records of each file: finops import csv FILE --map MAPPING.yaml -o FILE.jsonl",
        )
    found = find_files(path)
    sources = tuple(open_lines(each, has_cases=has_cases) for each in found.paths)
    return FileSet(path, found, sources)


def open_lines(path: Path | None, *, has_cases: bool = True) -> InputSource:
    """Open cases, or else fails, in JSON Lines or Parquet. `path` None is stdin."""
    from finops_cli.domain.fail import FailRecord
    from finops_cli.domain.resolution import ResolverInput
    from finops_cli.files.parquet_rows import is_parquet
    from finops_cli.files.recognise import FileKind, recognise
    from finops_cli.files.safe_io import refuse_unreadable
    from finops_cli.pipeline.input_source import JsonLines, refuse_kind
    from finops_cli.pipeline.stored.parquet_source import ParquetSource

    if path is not None:
        refuse_unreadable(path)
    if path is None or not path.is_file():
        return JsonLines(path)
    if is_parquet(path):
        kind = ResolverInput if has_cases else FailRecord
        return ParquetSource(path, kind.__struct_fields__)
    recognised = recognise(path)
    refuse_kind(recognised.kind, str(path))
    if recognised.kind in (FileKind.TABLE, FileKind.WORKBOOK):
        raise UsageError(
            f"{path}: is {recognised.describe()}; accepted: JSON Lines",
            "a file of fails with columns goes through finops run, triage or import csv",
        )
    return JsonLines(path, recognised)


def open_table(
    recognised: Recognised,
    options: TableOptions,
    kb_dir: Path,
    stack: ExitStack,
    *,
    quiet: bool,
    supplied: Supplied = NOTHING_SUPPLIED,
) -> RecordSource:
    """Open the records of a file with columns, by the mapping that the options choose.

    Raises UsageError, after the proposed mapping was printed, where they choose none.
    """
    from finops_cli.importers.table_input import TableFile, record_source
    from finops_cli.kb.load import load_kb

    kb = load_kb(kb_dir)
    file = TableFile(recognised, stack)
    chosen = _choose(file, options, kb, quiet=quiet, supplied=supplied)
    return record_source(file, chosen, kb, supplied.complete)


def require_rows(given: InputSource) -> RecordSource:
    """Return the input of a file with columns. Raises UsageError for another kind of file."""
    from finops_cli.importers.record_source import RecordSource

    if isinstance(given, RecordSource):
        return given
    if given.path is None:
        raise UsageError("stdin needs a mapping", "give --map MAPPING.yaml, or a file")
    raise UsageError(
        f"{given.path}: has no columns; accepted: CSV or .xlsx",
        f"if it is JSON Lines, give it to finops run: finops run {given.path}",
    )


def _open_pipe(
    path: Path | None, options: TableOptions, kb_dir: Path, supplied: Supplied
) -> InputSource:
    from finops_cli.importers.table_input import piped_source
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.input_source import JsonLines

    if options.map_file is not None and options.names == ["--map"]:
        chosen = _read(options.map_file, supplied)
        return piped_source(chosen, load_kb(kb_dir), path, supplied.complete)
    if options.names:
        name = "stdin" if path is None else str(path)
        raise UsageError(
            f"{name}: {options.names[-1]} needs a file: a proposal reads the rows twice",
            "save the rows to a file and give it, or give --map MAPPING.yaml alone",
        )
    return JsonLines(path)


def _read(map_file: Path, supplied: Supplied) -> ChosenMapping:
    from finops_cli.importers.mapped_rows.mapping import read_mapping
    from finops_cli.importers.table_input import ChosenMapping

    mapping = read_mapping(map_file, supplied.fields)
    return ChosenMapping(mapping, str(map_file), map_file)


def _choose(
    file: TableFile,
    options: TableOptions,
    kb: KnowledgeBase,
    *,
    quiet: bool,
    supplied: Supplied,
) -> ChosenMapping:
    from finops_cli.importers.table_input import ChosenMapping

    if options.map_file is not None:
        if len(options.names) > 1:
            raise UsageError(
                f"--map and {options.names[1]} exclude each other: one gives the mapping, the other"
                " takes the proposed one",
                "leave one of the two out",
            )
        return _read(options.map_file, supplied)
    proposal = propose_mapping(file, options, kb)
    shown = f"{file.recognised.path}: {file.recognised.describe()}"
    if not options.accept:
        typer.echo(proposal.yaml(supplied.options), err=True, nl=False)
        raise _refuse_without_mapping(shown, proposal, options.save_map, supplied)
    if proposal.lacks(supplied.options):
        raise _refuse_incomplete(shown, proposal, options.save_map, supplied)
    for label, text in () if quiet else _describe_accepted(proposal, supplied):
        typer.echo(wrap_label(label, text), err=True)
    return ChosenMapping(proposal.mapping, _PROPOSED, None)


def _describe_accepted(proposal: Proposal, supplied: Supplied) -> list[tuple[str, str]]:
    """Say what an accepted mapping leaves open: nobody has read it. Pairs of label and text."""
    said = [("check", check) for check in proposal.checks]
    said += [
        ("not given", f"{each.name}: {each.why}")
        for each in proposal.missing
        if each.option not in supplied.options and each.name not in supplied.fields
    ]
    if proposal.unused:
        said.append(("not used", "; ".join(f"{name}: {why}" for name, why in proposal.unused)))
    return said


def propose_mapping(file: TableFile, options: TableOptions, kb: KnowledgeBase) -> Proposal:
    """Propose a mapping, and write it to --save-map. Raises UsageError."""
    proposal = file.propose(kb)
    if options.save_map is not None:
        save_mapping(proposal, options.save_map, file.recognised.path)
    return proposal


def save_mapping(proposal: Proposal, path: Path, source: Path) -> None:
    """Write the proposed mapping. Raises UsageError where another mapping would be lost."""
    from finops_cli.files.safe_io import refuse_unwritable, whole

    refuse_unwritable(path, [source], "--save-map")
    if path.exists() and not path.is_file():
        raise UsageError(f"--save-map {path}: is a pipe or a device", "give the name of a file")
    text = proposal.yaml().encode()
    if path.exists() and path.read_bytes() not in (b"", text):
        raise UsageError(
            f"--save-map {path}: exists, and is not the proposed mapping",
            f"use it with --map {path}, or choose another name",
        )
    with whole(path) as file:
        file.write(text)


def _refuse_without_mapping(
    shown: str, proposal: Proposal, saved: Path | None, supplied: Supplied
) -> UsageError:
    what = f"{shown}: a mapping says which column is which field; the one above is proposed"
    keep = (
        f"correct {saved} and give it with --map {saved}"
        if saved is not None
        else "keep it with --save-map MAPPING.yaml, correct it, and give it with --map MAPPING.yaml"
    )
    if not proposal.lacks(supplied.options):
        return UsageError(what, f"add --accept if it is right, or {keep}")
    missing = list_missing(proposal, supplied.options)
    return UsageError(f"{what}, and lacks {missing}", keep)


def _refuse_incomplete(
    shown: str, proposal: Proposal, saved: Path | None, supplied: Supplied
) -> UsageError:
    keep = (
        f"complete {saved} and give it with --map {saved}"
        if saved is not None
        else "keep the mapping with --save-map MAPPING.yaml, complete it, and give it with --map"
    )
    lacking = proposal.lacks(supplied.options)
    options = [each.option for each in lacking if each.option]
    if options and len(options) == len(lacking):
        keep = f"give {' and '.join(options)}, or {keep}"
    missing = list_missing(proposal, supplied.options)
    return UsageError(f"{shown}: the proposed mapping lacks {missing}", keep)


def list_missing(proposal: Proposal, options: tuple[str, ...] = ()) -> str:
    """List the required fields that neither a column nor one of `options` gives, and why."""
    return "; ".join(f"{each.name} ({each.why})" for each in proposal.lacks(options))
