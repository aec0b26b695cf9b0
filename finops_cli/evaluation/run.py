"""Run an evaluation in a folder: records, output lines, outcomes, and the metrics computed from
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from finops_cli.evaluation import grading, outcomes
from finops_cli.evaluation.aggregate import aggregate
from finops_cli.evaluation.baselines import (
    Baselines,
    baselines,
    eval_examples,
    missing,
    train_examples,
)
from finops_cli.evaluation.graded_stages import GRADED_STAGES, Record
from finops_cli.evaluation.metrics import Metrics
from finops_cli.evaluation.results_dir import ANSWERS, EVALUATION, RECORDS, refuse_other_answers
from finops_cli.evaluation.samples import SampleOptions
from finops_cli.evaluation.sentiment import SentimentMetrics, SentimentOutcome
from finops_cli.evaluation.stats import percentile, times_ms
from finops_cli.evaluation.verdict import Verdict, compare_with_baselines, verdict
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading, whole, write_json
from finops_cli.files.terminal import printable
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import ModelNames, Origin
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.pipeline.sentiment.pipeline import SentimentPipeline
from finops_cli.version import __version__


class MadeFrom(Struct, frozen=True, kw_only=True):
    """The origin of an evaluation: versions, backend, models and records."""

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
    """The SHA-256 digest of the written file of records."""


class Reference(Struct, frozen=True):
    """Times of the engine for a single one of these records; null if nothing was timed."""

    p50_ms: Decimal | None
    p95_ms: Decimal | None


class Evaluation(Struct, frozen=True, kw_only=True):
    """The content of `evaluation.json`, of `--json` and of the page.

    An evaluation of the sentiment stage has `sentiment` in place of `metrics`.
    """

    made_from: MadeFrom
    metrics: Metrics | None
    baselines: Baselines
    verdict: Verdict
    engine: Reference | None = None
    sentiment: SentimentMetrics | None = None
    """The measures of a sentiment backend; null for other stages."""


class BaselineOptions(NamedTuple):
    """Options of the baselines: run them, and time them."""

    wanted: bool = True
    timed: bool = True


def conclude(
    wanted: SampleOptions,
    folder: Path,
    origin: Origin,
    guard: str | None,
    kb: KnowledgeBase,
    simpler: BaselineOptions,
) -> Evaluation:
    """Grade the answers, write the outcomes, and aggregate the metrics from the written file.

    Raises ResumeRefused if the answers belong to other records, Unfinished if answers are missing.
    """
    refuse_other_answers(folder)
    with whole(folder / outcomes.FILE) as file:
        for outcome in grading.grade(
            folder / RECORDS, folder / ANSWERS, wanted.stage, origin.is_model, kb
        ):
            file.write(outcomes.encode(outcome))
    metrics = aggregate(outcomes.read_outcomes(folder), kb.evaluation)
    ran = _baselines(wanted, folder, kb, simpler)
    compared = compare_with_baselines(outcomes.read_outcomes(folder), folder) if ran.results else []
    model = origin.models.get(wanted.stage)
    earned = verdict(
        model or origin.name, metrics, compared, ran, not origin.is_model, kb.evaluation
    )
    return Evaluation(
        made_from=_made_from(wanted.stage, wanted, folder / RECORDS, origin, guard, kb),
        metrics=metrics,
        baselines=ran,
        verdict=earned,
        engine=_engine(wanted, folder, kb, simpler.timed),
    )


def _baselines(
    wanted: SampleOptions, folder: Path, kb: KnowledgeBase, simpler: BaselineOptions
) -> Baselines:
    if not GRADED_STAGES[wanted.stage].has_baselines:
        return Baselines(0, [], "a text classifier cannot make a plan")
    if not simpler.wanted:
        return Baselines(0, [], "baselines were not requested")
    absent = missing()
    if absent is not None:
        return Baselines(0, [], str(absent))
    train = train_examples(wanted.seed, kb.evaluation.rows["baseline_train"], kb)
    held_out = list(eval_examples(folder / RECORDS, outcomes.read_outcomes(folder), kb))
    if not held_out:
        return Baselines(0, [], "baselines were not run: no record can be used")
    return baselines(train, held_out, folder, kb.evaluation, simpler.timed)


def _engine(wanted: SampleOptions, folder: Path, kb: KnowledgeBase, timed: bool) -> Reference:
    def answer(given: Record) -> object:
        return GRADED_STAGES[wanted.stage].answer(given, kb)

    records = _given(wanted, folder, kb)
    took = times_ms(answer, records, kb.evaluation.rows["timed"]) if timed else []
    return Reference(percentile(took, 50), percentile(took, 95))


def _given(wanted: SampleOptions, folder: Path, kb: KnowledgeBase) -> Iterator[Record]:
    """Return the valid records."""
    with reading(folder / RECORDS) as file:
        for line, _ in lines_of(file):
            given = GRADED_STAGES[wanted.stage].parse_line(line, kb)
            if given is not None:
                yield given


def conclude_sentiment(
    outcome: SentimentOutcome, records: str, pipeline: SentimentPipeline, folder: Path
) -> Evaluation:
    """Put the measures of a sentiment backend into the form of every evaluation."""
    data = Path(records)
    wanted = SampleOptions(stage="triage", rows=None, seed=0, profile="coverage", data=data)
    redaction = pipeline.redaction
    guard = None if redaction is None else redaction.mode
    origin = pipeline.backend.origin
    return Evaluation(
        made_from=_made_from(STAGE, wanted, folder / RECORDS, origin, guard, pipeline.kb),
        metrics=None,
        baselines=outcome.baselines,
        verdict=outcome.verdict,
        sentiment=outcome.metrics,
    )


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write the metrics beside the files that they were computed from.

    This file is written last, so its presence shows that the evaluation is finished.
    """
    write_json(folder / EVALUATION, evaluation)


def _made_from(
    stage: str,
    wanted: SampleOptions,
    records: Path,
    origin: Origin,
    guard: str | None,
    kb: KnowledgeBase,
) -> MadeFrom:
    made = (
        f"seed {wanted.seed}, profile {wanted.profile}"
        if wanted.data is None
        else printable(wanted.data.name)
    )
    return MadeFrom(
        stage=stage,
        finops=__version__,
        kb=kb.version,
        backend=origin.name,
        models=origin.models,
        digests=origin.digests,
        prompt_sha256=origin.prompt_sha256,
        settings=origin.settings,
        guard=guard,
        records=made,
        records_sha256=sha256_of_file(records)[0],
    )
