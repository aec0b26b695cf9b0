"""Make the requested datasets and their card: the work of `finops generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

from finops_cli import extras
from finops_cli.datasets.dataset_card import (
    CARD,
    read_sections,
    render_card,
    render_section,
    render_unknown_section,
)
from finops_cli.datasets.report import Report, nested, requirements
from finops_cli.datasets.requirements import Requirement
from finops_cli.datasets.splits import Split
from finops_cli.datasets.stage_type import MaskText, Stage
from finops_cli.datasets.stages import STAGES, stage_named
from finops_cli.datasets.triage_examples import Profile
from finops_cli.datasets.writer import (
    DatasetOptions,
    MakeRows,
    Written,
    file_name,
    make_here,
    write_dataset,
    write_rows,
)
from finops_cli.domain.enums import GuardMode
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.safe_io import locked_folder, whole
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.redaction import RequireGuard, redaction_policy

T = TypeVar("T")
OnMessage = Callable[[str], None]
_PHRASEBANK_CURE = "give a copy of financial_phrasebank: each line is SENTENCE@LABEL"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateOptions:
    """The options of `finops generate`."""

    stage: StageName | None
    """None: every stage of the default set."""
    rows: int | None
    """None: the default number of each stage."""
    seed: int
    profile: Profile
    folder: Path
    parquet: bool
    workers: int
    phrasebank: Path | None = None
    """The user's own copy of financial_phrasebank."""
    guard: GuardMode = "require"
    """The treatment of personal data in that copy."""


class _Made(NamedTuple):
    options: DatasetOptions
    written: Written
    requirements: list[Requirement]


def make_data(
    options: GenerateOptions,
    kb_dir: Path,
    on_message: OnMessage,
    make_rows: MakeRows | None = None,
) -> list[Report]:
    """Write the datasets and their card. Return a report on each dataset.

    `make_rows` makes rows elsewhere; None: processes of this machine do.

    Raises UsageError, MissingPiece, BadExample, Unfinished.
    """
    stages = choose_stages(options)
    if options.parquet:
        _refuse_without_parquet()
    if options.folder.exists() and not options.folder.is_dir():
        raise UsageError(f"{options.folder}: is a file", "give a folder")
    options.folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(options.folder):
        makes = make_rows or partial(make_here, workers=options.workers)
        return _make_all(stages, options, kb_dir, on_message, makes)


def _make_all(
    stages: list[Stage],
    options: GenerateOptions,
    kb_dir: Path,
    on_message: OnMessage,
    make_rows: MakeRows,
) -> list[Report]:
    kb = load_kb(kb_dir)
    _delete_parts(options.folder, on_message)
    made = []
    for stage in stages:  # the card is true whenever a later stage is interrupted
        made.append(_make(stage, options, kb_dir, kb, on_message, make_rows))
        _write_card(made, options, kb, on_message)
    return [
        Report(
            stage=each.options.stage,
            rows=each.options.rows,
            bad_rows=0,
            faults=[],
            counts=nested(each.written.counts),
            requirements=each.requirements,
        )
        for each in made
    ]


def _delete_parts(folder: Path, on_message: OnMessage) -> None:
    """Delete what a killed `generate` left. The folder is locked, so no other one writes it."""
    for name in STAGES:
        for part in folder.glob(f"{name}-*.part"):
            part.unlink()
            on_message(f"{part}: left by an interrupted generate; deleted")


def _write_card(
    made: list[_Made], options: GenerateOptions, kb: KnowledgeBase, on_message: OnMessage
) -> None:
    """Write the card. The sections of other stages stay, as long as their files are the same."""
    folder, command = options.folder, _command(options)
    known = read_sections(folder)
    for each in made:
        known[each.options.stage] = render_section(
            each.options, each.written, each.requirements, kb.version, command
        )
    sections = {}
    for name in STAGES:
        if not (folder / file_name(name, "train")).is_file():
            continue
        if name not in known:
            on_message(f"{folder}: no section of {CARD} fits the files of {name}")
        sections[name] = known.get(name) or render_unknown_section(name)
    rows = sum(
        _count_rows(folder / file_name(name, split))
        for name in sections
        for split in get_args(Split)
    )
    with whole(folder / CARD) as file:
        file.write(render_card(sections, rows).encode())


def _count_rows(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def choose_stages(options: GenerateOptions) -> list[Stage]:
    """Return the stages to make.

    Raises UsageError for a phrasebank with a stage that does not use one.
    """
    if options.stage is not None:
        stages = [stage_named(options.stage)]
    else:
        stages = [stage for stage in STAGES.values() if stage.in_default_set]
    if options.phrasebank is not None and any(stage.import_rows is None for stage in stages):
        takes = [stage.name for stage in STAGES.values() if stage.import_rows is not None]
        raise UsageError(f"--phrasebank goes with --stage {' or '.join(takes)}")
    return stages


def _make(
    stage: Stage,
    options: GenerateOptions,
    kb_dir: Path,
    kb: KnowledgeBase,
    on_message: OnMessage,
    make_rows: MakeRows,
) -> _Made:
    rows = options.rows if options.rows is not None else stage.default_rows(kb)
    if stage.import_rows is not None and options.phrasebank is not None:
        imported = _refuse_empty(
            stage.import_rows(options.phrasebank, on_message, _open_mask(options, kb)),
            options.phrasebank,
        )
        written = write_rows(stage.name, imported, options.folder)
        order = _dataset_options(stage, written.rows.total(), options, kb_dir)
    else:
        _warn_of_repetition(stage, rows, on_message)
        order = _dataset_options(stage, rows, options, kb_dir)
        progress = _progress(stage.name, rows, on_message)
        written = write_dataset(order, options.folder, make_rows, progress)
    files = [options.folder / name for name in written.digests]
    judged = requirements(stage.name, written.counts, order.rows, files, options.profile, kb)
    if options.parquet:
        for file in files:
            _write_parquet(file)
    return _Made(order, written, judged)


def _open_mask(options: GenerateOptions, kb: KnowledgeBase) -> MaskText:
    """Open the mask of `--guard`. Raises MissingPiece if it is required and not installed."""
    policy = redaction_policy(options.guard, asks_models=False, kb=kb)
    if isinstance(policy, RequireGuard):
        raise policy.refuse(str(options.phrasebank))
    return (lambda text: text) if policy is None else (lambda text: policy.text(text)[0])


def _refuse_empty(rows: Iterator[T], source: Path) -> Iterator[T]:
    """Raises UsageError when there is not one row, before anything is written."""
    first = next(rows, None)
    if first is None:
        raise UsageError(
            f"{source}: not one line can be used, so nothing is written", _PHRASEBANK_CURE
        )
    return chain([first], rows)


def _dataset_options(
    stage: Stage, rows: int, options: GenerateOptions, kb_dir: Path
) -> DatasetOptions:
    return DatasetOptions(
        stage=stage.name, rows=rows, seed=options.seed, profile=options.profile, kb_dir=kb_dir
    )


def _warn_of_repetition(stage: Stage, rows: int, on_message: OnMessage) -> None:
    if stage.max_distinct_rows is not None and rows > stage.max_distinct_rows():
        on_message(
            f"{stage.name}: in {rows:,} rows a text may come twice; the report will say so if it"
            " does"
        )


def _progress(stage: StageName, rows: int, on_message: OnMessage) -> Callable[[int], None]:
    """Report every tenth of the rows."""
    tenth = max(1, rows // 10)
    due = tenth

    def watch(done: int) -> None:
        nonlocal due
        if done >= due:
            on_message(f"{stage}: {done:,} of {rows:,} rows")
            due = done + tenth

    return watch


def _command(options: GenerateOptions) -> str:
    """Return the command that makes the same bytes again."""
    parts = ["finops generate"]
    parts += [f"--stage {options.stage}"] if options.stage is not None else []
    parts += [f"-n {options.rows}"] if options.rows is not None else []
    parts += [f"--seed {options.seed}"]
    parts += [f"--profile {options.profile}"] if options.profile != "coverage" else []
    parts += ["--parquet"] if options.parquet else []
    parts += [f"--phrasebank {options.phrasebank.name}"] if options.phrasebank is not None else []
    return " ".join(parts)


def _refuse_without_parquet() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise MissingPiece("--parquet needs pyarrow", extras.cure("data")) from error


def _write_parquet(file: Path) -> None:
    """Write the rows of `file` as Parquet beside it.

    One block is in memory at a time.
    """
    import pyarrow.json
    import pyarrow.parquet

    options = pyarrow.json.ReadOptions(block_size=8 << 20)
    blocks = pyarrow.json.open_json(file, read_options=options)
    with (
        blocks,
        pyarrow.parquet.ParquetWriter(file.with_suffix(".parquet"), blocks.schema) as writer,
    ):
        for block in blocks:
            writer.write_batch(block)
