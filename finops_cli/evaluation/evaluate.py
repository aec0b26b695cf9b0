"""An evaluation as a folder: the records, what the desk made of them, the outcomes, and the figures
that were counted from these.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from finops_cli import __version__
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.printable import printable
from finops_cli.domain.resolution import ResolverInput
from finops_cli.evaluation import marking, outcomes
from finops_cli.evaluation.baselines import (
    Baselines,
    baselines,
    eval_examples,
    missing,
    sentences,
    train_examples,
)
from finops_cli.evaluation.counting import figures_of
from finops_cli.evaluation.figures import Figures
from finops_cli.evaluation.folder import ANSWERS, EVALUATION, RECORDS, refuse_other_answers
from finops_cli.evaluation.records import Wanted
from finops_cli.evaluation.shares import percentile
from finops_cli.evaluation.timing import times_ms
from finops_cli.evaluation.worth import Worth, duels, worth
from finops_cli.kb.book import Book
from finops_cli.models.llama_cpp.gguf import hashed
from finops_cli.models.protocol import ModelNames, Origin
from finops_cli.pipeline.blotter import lines_of
from finops_cli.pipeline.intake import take_case, take_fail
from finops_cli.pipeline.places import reading, whole, write_json
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage


class MadeFrom(Struct, frozen=True):
    """What an evaluation was made from.

    `records_sha256` is that of the file that the records came to.
    """

    stage: str
    finops: str
    kb: str
    backend: str
    models: ModelNames
    digests: ModelNames | None
    prompt_sha256: str | None
    settings: str | None
    guard: str | None
    records: str
    records_sha256: str


class Reference(Struct, frozen=True):
    """What the engine takes for one of these records, alone; null where nothing was timed."""

    p50_ms: Decimal | None
    p95_ms: Decimal | None


class Evaluation(Struct, frozen=True):
    """`evaluation.json`: what `--json` prints and the page shows.

    Of sentences there are baselines alone.
    """

    made_from: MadeFrom
    figures: Figures | None
    baselines: Baselines
    worth: Worth
    engine: Reference | None = None


class Simpler(NamedTuple):
    """Whether baselines are to be run, and whether they are timed."""

    wanted: bool = True
    timed: bool = True


def concluded(
    wanted: Wanted, folder: Path, origin: Origin, guard: str | None, book: Book, simpler: Simpler
) -> Evaluation:
    """Mark what the desk answered, write the outcomes, and count them. The figures are reckoned
    from the written file alone.

    Raises ResumeRefused where the answers are those to other records, Unfinished where they end too
    early.
    """
    refuse_other_answers(folder)
    with whole(folder / outcomes.FILE) as file:
        for outcome in marking.marked(folder / RECORDS, folder / ANSWERS, wanted.stage, book):
            file.write(outcomes.encoded(outcome))
    figures = figures_of(outcomes.outcomes_in(folder), book.evaluation)
    ran = _baselines(wanted, folder, book, simpler)
    fought = duels(outcomes.outcomes_in(folder), folder) if ran.list else []
    model = origin.models.triage if wanted.stage == "triage" else origin.models.resolver
    verdict = worth(
        model or origin.name, figures, fought, ran, origin.digests is None, book.evaluation
    )
    return Evaluation(
        _made_from(wanted.stage, wanted, folder / RECORDS, origin, guard, book),
        figures,
        ran,
        verdict,
        _engine(wanted, folder, book, simpler.timed),
    )


def _baselines(wanted: Wanted, folder: Path, book: Book, simpler: Simpler) -> Baselines:
    if wanted.stage != "triage":
        return Baselines(0, [], "no text classifier makes a plan")
    told = "baselines were not asked for" if not simpler.wanted else missing()
    if told is not None:
        return Baselines(0, [], told)
    train = train_examples(wanted.seed, book.evaluation.rows["baseline_train"], book)
    held_out = list(eval_examples(folder / RECORDS, outcomes.outcomes_in(folder), book))
    if not held_out:
        return Baselines(0, [], "baselines were not run: no record can be used")
    return baselines(train, held_out, folder, book.evaluation, simpler.timed)


def _engine(wanted: Wanted, folder: Path, book: Book, timed: bool) -> Reference:
    def reckon(given: FailRecord | ResolverInput) -> None:
        triage(given, book) if isinstance(given, FailRecord) else resolve(given, book)

    took = (
        times_ms(reckon, _given(wanted, folder, book), book.evaluation.rows["timed"])
        if timed
        else []
    )
    return Reference(percentile(took, 50), percentile(took, 95))


def _given(wanted: Wanted, folder: Path, book: Book) -> Iterator[FailRecord | ResolverInput]:
    """The records that can be used."""
    with reading(folder / RECORDS) as file:
        for line, _ in lines_of(file):
            given = (
                take_fail(line).value if wanted.stage == "triage" else take_case(line, book).value
            )
            if given is not None:
                yield given


def of_sentences(seed: int, rows: int | None, folder: Path, book: Book, timed: bool) -> Evaluation:
    """The baselines of the third model's sentences.

    Raises MissingPiece without scikit-learn: there is nothing else to tell.
    """
    sizes = book.evaluation.rows
    held_out = list(sentences("eval", seed, rows or sizes["sentiment"]))
    with whole(folder / RECORDS) as file:
        for example in held_out:
            file.write(exact_json.encode(example._asdict()) + b"\n")
    ran = baselines(
        sentences("train", seed, sizes["baseline_train"]), held_out, folder, book.evaluation, timed
    )
    verdict = Worth(
        None,
        "No backend serves the sentiment model yet: these are the figures that it has to beat.",
        [],
    )
    wanted = Wanted("triage", rows, seed, "coverage", None)
    return Evaluation(
        _made_from("sentiment", wanted, folder / RECORDS, Origin("none"), None, book),
        None,
        ran,
        verdict,
    )


def write(evaluation: Evaluation, folder: Path) -> None:
    """The figures, beside what they were counted from.

    Written last, this file says that the evaluation came to its end.
    """
    write_json(folder / EVALUATION, evaluation)


def _made_from(
    stage: str, wanted: Wanted, records: Path, origin: Origin, guard: str | None, book: Book
) -> MadeFrom:
    made = (
        f"seed {wanted.seed}, profile {wanted.profile}"
        if wanted.data is None
        else printable(wanted.data.name)
    )
    name, models, digests, prompt_sha256, settings = origin
    return MadeFrom(
        stage,
        __version__,
        book.version,
        name,
        models,
        digests,
        prompt_sha256,
        settings,
        guard,
        made,
        hashed(records)[0],
    )
