"""The data sets that a call asks for, with their card: what `finops generate` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from finops_cli import extras
from finops_cli.datasets.dataset_card import card
from finops_cli.datasets.report import Report, nested, sentence_promises
from finops_cli.datasets.requirements import Requirement, requirements
from finops_cli.datasets.rows import Row, Stage, sentiment_row
from finops_cli.datasets.sentiment.examples import Sentence, surely_distinct
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.sentiment.phrasebank import PhrasebankRead, read_phrasebank
from finops_cli.datasets.triage_examples import Profile
from finops_cli.datasets.writer import DatasetOptions, Written, file_name, write_dataset, write_rows
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.importers.stream import Damage
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase

Tell = Callable[[str], None]


class GenerateOptions(NamedTuple):
    """What a call asks for.

    `stage` None: triage and resolver. `rows` None: the cards' sizes. `phrasebank`: a copy of the
    user's own.
    """

    stage: Stage | None
    rows: int | None
    seed: int
    profile: Profile
    folder: Path
    parquet: bool
    workers: int
    phrasebank: Path | None = None


def make_data(wanted: GenerateOptions, kb_dir: Path, tell: Tell) -> list[Report]:
    """Write the sets and their card; returns what was counted.

    Raises UsageError, MissingPiece, BadExample, Unfinished.
    """
    if wanted.parquet:
        _refuse_without_parquet()
    if wanted.folder.exists() and not wanted.folder.is_dir():
        raise UsageError(f"{wanted.folder}: is a file", "give a folder")
    wanted.folder.mkdir(parents=True, exist_ok=True)
    kb = load_kb(kb_dir)
    stages: tuple[Stage, ...] = (
        (wanted.stage,) if wanted.stage is not None else ("triage", "resolver")
    )
    sets = [_make(stage, wanted, kb_dir, kb, tell) for stage in stages]
    present = [
        stage for stage in get_args(Stage) if (wanted.folder / file_name(stage, "train")).is_file()
    ]
    text = card(
        [(order, written, kept) for order, written, kept, _ in sets],
        present,
        kb.version,
        _command(wanted),
    )
    (wanted.folder / "README.md").write_text(text, encoding="utf-8")
    return [report for *_, report in sets]


def _make(
    stage: Stage, wanted: GenerateOptions, kb_dir: Path, kb: KnowledgeBase, tell: Tell
) -> tuple[DatasetOptions, Written, list[Requirement], Report]:
    rows = wanted.rows if wanted.rows is not None else kb.datasets.sizes[stage]
    order = DatasetOptions(stage, rows, wanted.seed, wanted.profile, kb_dir)
    if stage == "sentiment" and wanted.phrasebank is not None:
        written = write_rows("sentiment", _phrasebank_rows(wanted.phrasebank, tell), wanted.folder)
        order = DatasetOptions(stage, written.rows.total(), wanted.seed, wanted.profile, kb_dir)
    else:
        if stage == "sentiment" and rows > surely_distinct("train", load_grammar()):
            tell(f"sentiment: in {rows:,} rows a sentence may come twice; the report would say so")
        written = write_dataset(order, wanted.folder, wanted.workers, _progress(stage, rows, tell))
    files = [wanted.folder / name for name in written.digests]
    kept = requirements(stage, written.counts, order.rows, wanted.profile, kb)
    if stage == "sentiment":
        kept += sentence_promises(files)
    if wanted.parquet:
        for file in files:
            _write_parquet(file)
    return order, written, kept, Report(stage, order.rows, 0, [], nested(written.counts), kept)


def _progress(stage: Stage, rows: int, tell: Tell) -> Callable[[int], None]:
    tenth = max(1, rows // 10)
    due = tenth

    def watch(done: int) -> None:
        nonlocal due
        if done >= due:
            tell(f"{stage}: {done:,} of {rows:,} rows")
            due = done + tenth

    return watch


def _phrasebank_rows(path: Path, tell: Tell) -> Iterator[tuple[Row, list[tuple[str, str]]]]:
    for number, item in enumerate(read_phrasebank(path)):
        if isinstance(item, Sentence):
            row = sentiment_row(f"P-{number:06d}", item)
            yield row, [("split", row.split), ("label", item.label), ("register", item.register)]
        elif isinstance(item, Damage):
            tell(
                "; ".join(
                    f"{item.file}:{item.line}: {problem.message}" for problem in item.problems
                )
            )
        elif isinstance(item, PhrasebankRead):
            tell(
                f"{item.file}: {item.sentences:,} sentences, {item.duplicates:,} duplicates"
                f" dropped, {item.damaged:,} damaged lines"
            )


def _command(wanted: GenerateOptions) -> str:
    parts = ["finops generate"]
    parts += [f"--stage {wanted.stage}"] if wanted.stage is not None else []
    parts += [f"-n {wanted.rows}"] if wanted.rows is not None else []
    parts += [f"--seed {wanted.seed}"]
    parts += [f"--profile {wanted.profile}"] if wanted.profile != "coverage" else []
    parts += ["--parquet"] if wanted.parquet else []
    parts += [f"--phrasebank {wanted.phrasebank.name}"] if wanted.phrasebank is not None else []
    return " ".join(parts)


def _refuse_without_parquet() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - only to see whether it is there
    except ImportError as error:
        raise MissingPiece("--parquet needs pyarrow", extras.cure("data")) from error


def _write_parquet(file: Path) -> None:
    """The same rows beside `file`, a block at a time, so that memory does not grow with the
    file.
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
