"""Train and grade text classifiers as baselines for a model (kb: `evaluate.baselines`).

Needs the extra `evaluate`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from time import process_time_ns
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli import extras
from finops_cli.datasets.sentiment.examples import sentence
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.splits import Split, content_key, first_in_split
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain import exact_json, text_form
from finops_cli.errors import MissingPiece
from finops_cli.evaluation.metrics import Matrix
from finops_cli.evaluation.outcomes import NAME_CHARS, Outcome
from finops_cli.evaluation.stats import Proportion, in_ms, pct, percentile, proportion, times_ms
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading, whole
from finops_cli.kb.chapters.evaluation import EvaluationSettings
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.rules.triage import triage

TRIAGE_TARGETS = ("priority_tier", "category")
SENTIMENT_TARGET = "label"
FILE = "baselines.jsonl"
_WORD = r"[^\s|]+"


class Example(NamedTuple):
    """A text and its labels by target."""

    name: str
    text: str
    labels: dict[str, str]


class ClassMetrics(Struct, frozen=True):
    """Precision, recall and F1 of one class."""

    precision: Proportion
    recall: Proportion
    f1_pct: Decimal | None
    """Null if the class never occurs."""


class ClassifierMetrics(Struct, frozen=True):
    """Metrics of a classifier over all classes."""

    right: Proportion
    classes: dict[str, ClassMetrics]
    confusion: Matrix


class Baseline(Struct, frozen=True, kw_only=True):
    """The grades and the times of one classifier. Times are null if nothing was timed."""

    name: str
    target: str
    classified: ClassifierMetrics
    training_cpu_ms: Decimal | None
    """Processor time, including the time to compute the vectors."""
    p50_ms: Decimal | None
    """Median time of one record, classified on its own."""
    p95_ms: Decimal | None


class Baselines(Struct, frozen=True):
    """The graded baselines."""

    train_rows: int
    results: list[Baseline]
    not_run: str | None = None
    """The reason why no baseline was run; null if baselines were run."""


class Prediction(Struct, frozen=True):
    """A line of `baselines.jsonl`: the answer of each baseline, by target and name."""

    content: str
    expected: dict[str, str]
    said: dict[str, dict[str, str]]


class _Classifier(NamedTuple):
    name: str
    target: str
    model: Any
    training_cpu_ms: Decimal


class _Vectors(NamedTuple):
    """The TF-IDF vectors of the examples."""

    learned: Sequence[Example]
    tfidf: Any
    matrix: Any
    took_ns: int
    """Processor time that learning the vectors took, in nanoseconds."""


def missing() -> MissingPiece | None:
    """Return the reason why baselines cannot run here, and how to fix it. Return None if they can
    run.
    """
    if find_spec("sklearn") is None:
        return MissingPiece(
            "baselines were not run: scikit-learn is missing", extras.cure("evaluate")
        )
    return None


def refuse_missing() -> None:
    """Raise MissingPiece if baselines cannot run here."""
    error = missing()
    if error is not None:
        raise error


def train_examples(seed: int, count: int, kb: KnowledgeBase) -> Iterator[Example]:
    """Make examples of the train split, as `finops generate --seed` makes them."""
    every, index = kb.datasets.eval_every, 0
    made = 0
    while made < count:
        if index % every != every - 1:
            fail = first_in_split(fails(index, seed, kb, "coverage"), index, every)
            yield _example(fail, kb)
            made += 1
        index += 1


def eval_examples(
    records: Path, outcomes: Iterable[Outcome], kb: KnowledgeBase
) -> Iterator[Example]:
    """Read the records of an evaluation that a backend was asked about."""
    inputs = InputPolicy(kb)
    with reading(records) as file:
        for (line, _), outcome in zip(lines_of(file), outcomes, strict=True):
            fail = parse_fail_line(line, inputs).value
            if fail is not None and outcome.first is not None:
                yield _example(fail, kb)


def sentences(split: Split, seed: int, count: int) -> Iterator[Example]:
    """Make labelled sentences of a split, as `finops generate --stage sentiment` makes them."""
    grammar = load_grammar()
    for index in range(count):
        said = sentence(index, seed, split, grammar)
        yield Example(f"{split} {index}", said.text, {SENTIMENT_TARGET: said.label})


def baselines(
    train: Iterable[Example],
    held_out: Sequence[Example],
    folder: Path,
    settings: EvaluationSettings,
    timed: bool,
) -> Baselines:
    """Train every baseline on `train`, grade it on `held_out` and write its answers to `folder`.

    Raises MissingPiece if scikit-learn is not installed.
    """
    refuse_missing()
    learned = list(train)
    targets = tuple(learned[0].labels)
    vectors = _vectors(learned, settings)
    trained = [
        _train(vectors, name, target, make) for target in targets for name, make in _kinds(settings)
    ]
    texts = [example.text for example in held_out]
    said = {
        (each.target, each.name): [str(label) for label in each.model.predict(texts)]
        for each in trained
    }
    _write(held_out, said, targets, folder)
    return Baselines(
        len(learned),
        [_grade(each, held_out, said[each.target, each.name], settings, timed) for each in trained],
    )


class ClassifierCount:
    """The running count of a classifier: expected and predicted labels."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self._z = settings.confidence_z
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, expected: str, said: str) -> None:
        """Count one answer."""
        self._counts[expected, said] += 1

    def result(self) -> ClassifierMetrics:
        """Compute the metrics of all counted answers."""
        names = sorted({name for pair in self._counts for name in pair})
        right = sum(self._counts[name, name] for name in names)
        matrix = {e: {s: self._counts[e, s] for s in names if self._counts[e, s]} for e in names}
        classes = {name: self._class(name, names) for name in names}
        return ClassifierMetrics(proportion(right, self._counts.total(), self._z), classes, matrix)

    def _class(self, name: str, names: list[str]) -> ClassMetrics:
        hit = self._counts[name, name]
        called, there = (
            sum(self._counts[e, name] for e in names),
            sum(self._counts[name, s] for s in names),
        )
        f1 = pct(Decimal(2 * hit) / (called + there)) if called + there else None
        return ClassMetrics(proportion(hit, called, self._z), proportion(hit, there, self._z), f1)


def _example(fail: Any, kb: KnowledgeBase) -> Example:
    answer = triage(fail, kb)
    labels = {target: str(getattr(answer, target)) for target in TRIAGE_TARGETS}
    return Example(content_key(fail).hex()[:NAME_CHARS], text_form.render(fail), labels)


def _kinds(settings: EvaluationSettings) -> list[tuple[str, Callable[[], Any]]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    b = settings.baselines
    return [
        (
            "logistic regression",
            lambda: LogisticRegression(max_iter=b["iterations"], random_state=b["seed"]),
        ),
        (
            "random forest",
            lambda: RandomForestClassifier(
                b["trees"], random_state=b["seed"], min_samples_leaf=b["leaf"]
            ),
        ),
        ("linear SVC", lambda: LinearSVC(max_iter=b["iterations"], random_state=b["seed"])),
    ]


def _train(vectors: _Vectors, name: str, target: str, make: Callable[[], Any]) -> _Classifier:
    """Fit a classifier to the labels of `target`, on the vectors that all classifiers share."""
    from sklearn.pipeline import make_pipeline

    classifier = make()
    started = process_time_ns()
    classifier.fit(vectors.matrix, [example.labels[target] for example in vectors.learned])
    took_ns = process_time_ns() - started + vectors.took_ns
    return _Classifier(name, target, make_pipeline(vectors.tfidf, classifier), in_ms(took_ns))


def _vectors(learned: Sequence[Example], settings: EvaluationSettings) -> _Vectors:
    from sklearn.feature_extraction.text import TfidfVectorizer

    b = settings.baselines
    tfidf = TfidfVectorizer(
        ngram_range=(1, b["ngrams"]),
        max_features=b["features"],
        token_pattern=_WORD,
        sublinear_tf=True,
    )
    started = process_time_ns()
    matrix = tfidf.fit_transform([example.text for example in learned])
    return _Vectors(learned, tfidf, matrix, process_time_ns() - started)


def _grade(
    each: _Classifier,
    held_out: Sequence[Example],
    said: list[str],
    settings: EvaluationSettings,
    timed: bool,
) -> Baseline:
    count = ClassifierCount(settings)
    for example, label in zip(held_out, said, strict=True):
        count.add(example.labels[each.target], label)
    texts = (example.text for example in held_out)
    ascending = (
        times_ms(lambda text: each.model.predict([text]), texts, settings.rows["timed"])
        if timed
        else []
    )
    training_cpu_ms = each.training_cpu_ms if timed else None
    return Baseline(
        name=each.name,
        target=each.target,
        classified=count.result(),
        training_cpu_ms=training_cpu_ms,
        p50_ms=percentile(ascending, 50),
        p95_ms=percentile(ascending, 95),
    )


def _write(
    held_out: Sequence[Example],
    said: dict[tuple[str, str], list[str]],
    targets: Sequence[str],
    folder: Path,
) -> None:
    with whole(folder / FILE) as file:
        for place, example in enumerate(held_out):
            by_target: dict[str, dict[str, str]] = {target: {} for target in targets}
            for (target, name), labels in said.items():
                by_target[target][name] = labels[place]
            file.write(
                exact_json.encode(Prediction(example.name, example.labels, by_target)) + b"\n"
            )
