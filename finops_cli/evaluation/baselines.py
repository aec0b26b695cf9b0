"""Something simpler: text classifiers trained on the train split (kb: `evaluate.baselines`).

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
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.evaluation.metrics import Matrix
from finops_cli.evaluation.outcomes import NAME_CHARS, Outcome
from finops_cli.evaluation.stats import Proportion, in_ms, pct, percentile, proportion, times_ms
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading, whole
from finops_cli.kb.chapters.evaluation import EvaluationSettings
from finops_cli.kb.rulebook import KnowledgeBase
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


class Baseline(Struct, frozen=True):
    """A classifier of one target. `training_cpu_ms`: processor time, that of the vectors included;
    `p50_ms`: of one record, alone.

    Null where nothing was timed.
    """

    name: str
    target: str
    classified: Classified
    training_cpu_ms: Decimal | None
    p50_ms: Decimal | None
    p95_ms: Decimal | None


class Baselines(Struct, frozen=True):
    """What came of them; `not_run` says why there are none."""

    train_rows: int
    results: list[Baseline]
    not_run: str | None = None


class Predicted(Struct, frozen=True):
    """A line of `baselines.jsonl`: what each baseline said of a record, by target and name."""

    content: str
    expected: dict[str, str]
    said: dict[str, dict[str, str]]


class _Trained(NamedTuple):
    name: str
    target: str
    model: Any
    training_cpu_ms: Decimal


def missing() -> MissingPiece | None:
    """Why baselines cannot be run here, with the cure; None when they can."""
    if find_spec("sklearn") is None:
        return MissingPiece(
            "baselines were not run: scikit-learn is missing", extras.cure("evaluate")
        )
    return None


def refuse_missing() -> None:
    """Raises MissingPiece."""
    error = missing()
    if error is not None:
        raise error


def train_examples(seed: int, count: int, kb: KnowledgeBase) -> Iterator[Example]:
    """Examples of the train split, as `finops generate --seed` makes them."""
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
    """The records of an evaluation that somebody was asked about."""
    with reading(records) as file:
        for (line, _), outcome in zip(lines_of(file), outcomes, strict=True):
            fail = parse_fail_line(line).value
            if fail is not None and outcome.first is not None:
                yield _example(fail, kb)


def sentences(split: Split, seed: int, count: int) -> Iterator[Example]:
    """Labelled sentences of a split, as `finops generate --stage sentiment --seed` makes them."""
    grammar = load_grammar()
    for index in range(count):
        said = sentence(index, seed, split, grammar)
        yield Example(f"{split} {index}", said.text, {SENTIMENT_TARGET: said.label})


LABELLED_STAGES: dict[StageName, Callable[[Split, int, int], Iterator[Example]]] = {
    "sentiment": sentences
}
"""Stages whose answers are labels of texts: split, seed and number give the texts."""


def labelled_texts(stage: StageName) -> Callable[[Split, int, int], Iterator[Example]]:
    """Find the labelled texts of a stage. Raises UsageError where there are none."""
    if stage not in LABELLED_STAGES:
        raise UsageError(f"--stage {stage}: no backend serves its model, and it has no baselines")
    return LABELLED_STAGES[stage]


def _example(fail: Any, kb: KnowledgeBase) -> Example:
    answer = triage(fail, kb)
    labels = {target: str(getattr(answer, target)) for target in TRIAGE_TARGETS}
    return Example(content_key(fail).hex()[:NAME_CHARS], text_form.render(fail), labels)


def baselines(
    train: Iterable[Example],
    held_out: Sequence[Example],
    folder: Path,
    settings: EvaluationSettings,
    timed: bool,
) -> Baselines:
    """Train every baseline on `train`, ask it about `held_out`, and write what it said to the
    folder. Raises MissingPiece.
    """
    refuse_missing()
    learned = list(train)
    targets = tuple(learned[0].labels)
    vectors = _vectors(learned, settings)
    trained = [
        _trained(vectors, name, target, make)
        for target in targets
        for name, make in _kinds(settings)
    ]
    texts = [example.text for example in held_out]
    said = {
        (each.target, each.name): [str(label) for label in each.model.predict(texts)]
        for each in trained
    }
    _write(held_out, said, targets, folder)
    return Baselines(
        len(learned),
        [
            _judged(each, held_out, said[each.target, each.name], settings, timed)
            for each in trained
        ],
    )


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


def _trained(vectors: _Vectors, name: str, target: str, make: Callable[[], Any]) -> _Trained:
    """A classifier fitted to what the examples say of `target`, behind the vectors that all of them
    share.
    """
    from sklearn.pipeline import make_pipeline

    classifier = make()
    started = process_time_ns()
    classifier.fit(vectors.matrix, [example.labels[target] for example in vectors.learned])
    took_ns = process_time_ns() - started + vectors.took_ns
    return _Trained(name, target, make_pipeline(vectors.tfidf, classifier), in_ms(took_ns))


class _Vectors(NamedTuple):
    """The texts of the examples as TF-IDF; `took_ns` of processor time to learn."""

    learned: Sequence[Example]
    tfidf: Any
    matrix: Any
    took_ns: int


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


def _judged(
    each: _Trained,
    held_out: Sequence[Example],
    said: list[str],
    settings: EvaluationSettings,
    timed: bool,
) -> Baseline:
    counted = ClassifierCount(settings)
    for example, label in zip(held_out, said, strict=True):
        counted.add(example.labels[each.target], label)
    texts = (example.text for example in held_out)
    ascending = (
        times_ms(lambda text: each.model.predict([text]), texts, settings.rows["timed"])
        if timed
        else []
    )
    training_cpu_ms = each.training_cpu_ms if timed else None
    return Baseline(
        each.name,
        each.target,
        counted.result(),
        training_cpu_ms,
        percentile(ascending, 50),
        percentile(ascending, 95),
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
                exact_json.encode(Predicted(example.name, example.labels, by_target)) + b"\n"
            )


class ClassMetrics(Struct, frozen=True):
    """`precision`: of what was called so; `recall`: of what is so.

    `f1_pct` is null where both are nothing.
    """

    precision: Proportion
    recall: Proportion
    f1_pct: Decimal | None


class Classified(Struct, frozen=True):
    right: Proportion
    classes: dict[str, ClassMetrics]
    confusion: Matrix


class ClassifierCount:
    """The running count."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self._z = settings.confidence_z
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, expected: str, said: str) -> None:
        self._counts[expected, said] += 1

    def result(self) -> Classified:
        names = sorted({name for pair in self._counts for name in pair})
        right = sum(self._counts[name, name] for name in names)
        matrix = {e: {s: self._counts[e, s] for s in names if self._counts[e, s]} for e in names}
        classes = {name: self._class(name, names) for name in names}
        return Classified(proportion(right, self._counts.total(), self._z), classes, matrix)

    def _class(self, name: str, names: list[str]) -> ClassMetrics:
        hit = self._counts[name, name]
        called, there = (
            sum(self._counts[e, name] for e in names),
            sum(self._counts[name, s] for s in names),
        )
        f1 = pct(Decimal(2 * hit) / (called + there)) if called + there else None
        return ClassMetrics(proportion(hit, called, self._z), proportion(hit, there, self._z), f1)
