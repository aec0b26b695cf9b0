"""Evaluate a sentiment backend on held-out texts, beside the baselines that learn from the same
source.

Nothing is written beside a model: the temperature stays the one that training fitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from time import perf_counter_ns

import msgspec
from msgspec import Struct

from finops_cli.datasets.sentiment.examples import Sentence, sentence
from finops_cli.datasets.sentiment.grammar import TemplateSplit, load_grammar
from finops_cli.datasets.sentiment.labelled_files import digest_split, read_labelled
from finops_cli.domain import exact_json
from finops_cli.errors import UsageError
from finops_cli.evaluation.baselines import (
    FILE,
    SENTIMENT_TARGET,
    Baseline,
    Baselines,
    ClassifierCount,
    Example,
    Prediction,
    baselines,
    missing,
)
from finops_cli.evaluation.results_dir import ANSWERS, RECORDS
from finops_cli.evaluation.stats import Proportion, percentile, proportion, sign_test
from finops_cli.evaluation.verdict import BaselineComparison, Verdict
from finops_cli.files.jsonl import InputLine
from finops_cli.files.safe_io import whole
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.calibration import calibration_error
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.parallel import in_threads
from finops_cli.pipeline.sentiment.output import SentimentLine
from finops_cli.pipeline.sentiment.pipeline import SentimentPipeline

HIGH_CONFIDENCE = Decimal("0.9")
_TENTH = Decimal("0.1")


class SentimentMetrics(Struct, frozen=True, kw_only=True):
    """The measures of a sentiment backend. Times are null if nothing was timed."""

    answers: Baseline
    """Confusion, report of each class, and times of the backend, as of a baseline."""
    statuses: dict[str, int]
    flags: dict[str, int]
    confidence: dict[str, int]
    """Texts by how their confidence was had."""
    calibration_error: Decimal | None
    """Mean gap between confidence and accuracy, from 0 to 1; null without confidences."""
    confident: Proportion
    """Texts with a confidence of at least 0.9, of those with one."""
    confident_right: Proportion
    """Right ones of the confident texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentSource:
    """The texts of an evaluation."""

    name: str
    train: list[Sentence]
    test: list[Sentence]


class SentimentOutcome(Struct, frozen=True, kw_only=True):
    """Everything that an evaluation of a sentiment backend computes."""

    metrics: SentimentMetrics
    baselines: Baselines
    verdict: Verdict


def open_source(
    data: Path | None, rows: int | None, seed: int, kb: KnowledgeBase, *, is_whole: bool = False
) -> SentimentSource:
    """Return the held-out texts, and those from which the baselines learn.

    Generated texts have templates of the test split. In a user's file the digest of a text decides;
    with `is_whole` all its texts are held out, and the baselines learn from generated sentences.
    Raises UsageError for a file without texts of both splits.
    """
    sizes = kb.evaluation.rows
    if data is None or is_whole:
        grammar = load_grammar()
        train = [sentence(n, seed, "train", grammar) for n in range(sizes["baseline_train"])]
        if data is not None:
            test = list(islice(read_labelled(data), rows))
            return SentimentSource(name=data.name, train=train, test=test)
        return SentimentSource(
            name=f"seed {seed}, templates of the test split",
            train=train,
            test=[sentence(n, seed, "test", grammar) for n in range(rows or sizes[STAGE])],
        )
    parts: dict[TemplateSplit, list[Sentence]] = {"train": [], "calibration": [], "test": []}
    for row in read_labelled(data):
        parts[digest_split(row.text, kb)].append(row)
    if not parts["test"] or not parts["train"]:
        raise UsageError(
            f"{data}: of {sum(map(len, parts.values())):,} texts, {len(parts['train']):,} are for"
            f" training and {len(parts['test']):,} for the test. Expected some of both.",
            "give a file with more texts",
        )
    return SentimentSource(name=data.name, train=parts["train"], test=parts["test"][:rows])


def evaluate_sentiment(
    source: SentimentSource,
    pipeline: SentimentPipeline,
    folder: Path,
    *,
    wants_baselines: bool,
    timed: bool,
) -> SentimentOutcome:
    """Label the texts, write every line, and compare with the baselines on the same texts."""
    kb = pipeline.kb
    pipeline.backend.prepare(STAGE)
    lines, times = _label(source.test, pipeline)
    _write(source.test, lines, folder)
    metrics = _measure(source.test, lines, sorted(times) if timed else [], pipeline)
    ran = _baselines(source, pipeline, folder, wants_baselines, timed)
    is_right = [_is_right(row, line) for row, line in zip(source.test, lines, strict=True)]
    compared = _compare(is_right, ran, folder)
    name = next(iter(pipeline.backend.origin.models.values()), None) or "the backend"
    return SentimentOutcome(
        metrics=metrics, baselines=ran, verdict=_judge(name, metrics, compared, ran, kb)
    )


def _label(
    rows: Sequence[Sentence], pipeline: SentimentPipeline
) -> tuple[list[SentimentLine], list[Decimal]]:
    """Return the line of each text, and its time in milliseconds."""

    def ask(numbered: tuple[int, InputLine]) -> tuple[SentimentLine, Decimal]:
        started = perf_counter_ns()
        line = pipeline.process(*numbered).line
        return line, round(Decimal(perf_counter_ns() - started) / 1_000_000, 3)

    given = [
        (number, exact_json.encode({"id": f"S-{number}", "text": row.text}))
        for number, row in enumerate(rows, start=1)
    ]
    found = list(in_threads(ask, given, max(1, pipeline.backend.concurrency)))
    return [line for line, _ in found], [took for _, took in found]


def _write(rows: Sequence[Sentence], lines: Sequence[SentimentLine], folder: Path) -> None:
    """Write the texts as the model saw them, never as they were given, and the lines."""
    with whole(folder / RECORDS) as file:
        for row, line in zip(rows, lines, strict=True):
            raw = line.raw if isinstance(line.raw, dict) else {}
            record = {"id": line.id, "text": raw.get("text"), "label": row.label}
            file.write(exact_json.encode(record) + b"\n")
    with whole(folder / ANSWERS) as file:
        for line in lines:
            file.write(exact_json.encode(line) + b"\n")


def _is_right(row: Sentence, line: SentimentLine) -> bool:
    return line.sentiment is not None and line.sentiment.label == row.label


def _measure(
    rows: Sequence[Sentence],
    lines: Sequence[SentimentLine],
    ascending: Sequence[Decimal],
    pipeline: SentimentPipeline,
) -> SentimentMetrics:
    settings = pipeline.kb.evaluation
    count, answers = ClassifierCount(settings), list[tuple[Decimal, bool]]()
    for row, line in zip(rows, lines, strict=True):
        count.add(row.label, "none" if line.sentiment is None else line.sentiment.label)
        if line.sentiment is not None and line.sentiment.confidence is not None:
            answers.append((line.sentiment.confidence, _is_right(row, line)))
    high = [is_right for confidence, is_right in answers if confidence >= HIGH_CONFIDENCE]
    origin = pipeline.backend.origin
    return SentimentMetrics(
        answers=Baseline(
            name=f"{origin.name} {next(iter(origin.models.values()), '') or ''}".strip(),
            target=SENTIMENT_TARGET,
            classified=count.result(),
            training_cpu_ms=None,
            p50_ms=percentile(ascending, 50),
            p95_ms=percentile(ascending, 95),
        ),
        statuses=dict(Counter(line.status for line in lines)),
        flags=dict(Counter(flag for line in lines for flag in line.flags)),
        confidence=dict(Counter(line.provenance.confidence for line in lines)),
        calibration_error=calibration_error((float(part), right) for part, right in answers),
        confident=proportion(len(high), len(answers), settings.confidence_z),
        confident_right=proportion(sum(high), len(high), settings.confidence_z),
    )


def _baselines(
    source: SentimentSource,
    pipeline: SentimentPipeline,
    folder: Path,
    wants: bool,
    timed: bool,
) -> Baselines:
    if not wants:
        return Baselines(0, [], "baselines were not requested")
    absent = missing()
    if absent is not None:
        raise absent
    return baselines(
        _examples(source.train, pipeline),
        _examples(source.test, pipeline),
        folder,
        pipeline.kb.evaluation,
        timed,
    )


def _examples(rows: Sequence[Sentence], pipeline: SentimentPipeline) -> list[Example]:
    """Make the examples of the baselines, with the personal data masked as for the backend."""
    policy = pipeline.redaction
    return [
        Example(
            f"S-{number}",
            row.text if policy is None else policy.text(row.text)[0],
            {SENTIMENT_TARGET: row.label},
        )
        for number, row in enumerate(rows, start=1)
    ]


def _compare(is_right: Sequence[bool], ran: Baselines, folder: Path) -> list[BaselineComparison]:
    """Compare with the best baseline, on the same texts."""
    if not ran.results:
        return []
    best = max(ran.results, key=lambda each: each.classified.right.count)
    pairs: Counter[tuple[bool, bool]] = Counter()
    with (folder / FILE).open("rb") as lines:
        for right, line in zip(is_right, lines, strict=True):
            row = msgspec.json.decode(line, type=Prediction)
            said = row.said[SENTIMENT_TARGET][best.name] == row.expected[SENTIMENT_TARGET]
            pairs[right, said] += 1
    p = sign_test(pairs[True, False], pairs[False, True])
    return [
        BaselineComparison(
            target=SENTIMENT_TARGET,
            baseline=best.name,
            records=len(is_right),
            model_right=sum(is_right),
            baseline_right=best.classified.right.count,
            model_only=pairs[True, False],
            baseline_only=pairs[False, True],
            p=round(Decimal(p.numerator) / p.denominator, 6),
        )
    ]


def _judge(
    name: str,
    metrics: SentimentMetrics,
    compared: list[BaselineComparison],
    ran: Baselines,
    kb: KnowledgeBase,
) -> Verdict:
    """Say whether the backend is better than the best baseline by more than chance."""
    right = metrics.answers.classified.right
    measured = f"{name} labels {right.pct or 0:.1f} % of {right.of:,} texts right"
    if not compared:
        return Verdict(None, f"{measured}. No verdict: {ran.not_run}.", [])
    [best] = compared
    other = 100 * Decimal(best.baseline_right) / best.records
    is_sure = best.p <= kb.evaluation.significance
    is_better = best.model_only > best.baseline_only
    shown = f"the best baseline, {best.baseline}, {other.quantize(_TENTH)} %"
    if is_sure and is_better:
        return Verdict(True, f"{measured}; {shown}. It is better by more than chance.", compared)
    end = "It is worse by more than chance." if is_sure else "The difference may be chance."
    return Verdict(False, f"{measured}; {shown}. {end}", compared)
