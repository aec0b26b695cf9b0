"""Something simpler: text classifiers trained on the train split (kb: `evaluate.baselines`).

Needs the extra `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from time import process_time_ns
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.domain import exact_json, text_form
from finops_cli.errors import MissingPiece
from finops_cli.evaluation.classified import Classified, Classifying
from finops_cli.evaluation.outcomes import NAME_CHARS, Outcome
from finops_cli.evaluation.shares import percentile
from finops_cli.evaluation.timing import in_ms, times_ms
from finops_cli.foundry.sentiment import sentence
from finops_cli.foundry.sentiment_grammar import load_grammar
from finops_cli.foundry.split import Split, content_key, first_in_split
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.kb.evaluating import EvaluationBook
from finops_cli.pipeline.blotter import lines_of
from finops_cli.pipeline.intake import take_fail
from finops_cli.pipeline.places import reading, whole
from finops_cli.rules.triage import triage

TRIAGE_TARGETS = ("priority_tier", "category")
SENTIMENT_TARGET = "label"
FILE = "baselines.jsonl"
CURE = "pip install 'finops[evaluate]'"
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
    list: list[Baseline]
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


def missing() -> str | None:
    """Why baselines cannot be run here, with the cure; None when they can."""
    if find_spec("sklearn") is None:
        return f"baselines were not run: scikit-learn is missing ({CURE})"
    return None


def refuse_missing() -> None:
    """Raises MissingPiece."""
    told = missing()
    if told is not None:
        raise MissingPiece(told)


def train_examples(seed: int, count: int, book: Book) -> Iterator[Example]:
    """Examples of the train split, as `finops generate --seed` makes them."""
    every, index = book.data.eval_every, 0
    made = 0
    while made < count:
        if index % every != every - 1:
            fail = first_in_split(fails(index, seed, book, "coverage"), index, every)
            yield _example(fail, book)
            made += 1
        index += 1


def eval_examples(records: Path, outcomes: Iterable[Outcome], book: Book) -> Iterator[Example]:
    """The records of an evaluation that somebody was asked about."""
    with reading(records) as file:
        for (line, _), outcome in zip(lines_of(file), outcomes, strict=True):
            fail = take_fail(line).value
            if fail is not None and outcome.first is not None:
                yield _example(fail, book)


def sentences(split: Split, seed: int, count: int) -> Iterator[Example]:
    """Labelled sentences of a split, as `finops generate --stage sentiment --seed` makes them."""
    grammar = load_grammar()
    for index in range(count):
        said = sentence(index, seed, split, grammar)
        yield Example(f"{split} {index}", said.text, {SENTIMENT_TARGET: said.label})


def _example(fail: Any, book: Book) -> Example:
    answer = triage(fail, book)
    labels = {target: str(getattr(answer, target)) for target in TRIAGE_TARGETS}
    return Example(content_key(fail).hex()[:NAME_CHARS], text_form.render(fail), labels)


def baselines(
    train: Iterable[Example],
    held_out: Sequence[Example],
    folder: Path,
    book: EvaluationBook,
    timed: bool,
) -> Baselines:
    """Train every baseline on `train`, ask it about `held_out`, and write what it said to the
    folder. Raises MissingPiece.
    """
    refuse_missing()
    learned = list(train)
    targets = tuple(learned[0].labels)
    vectors = _vectors(learned, book)
    trained = [
        _trained(vectors, name, target, make) for target in targets for name, make in _kinds(book)
    ]
    texts = [example.text for example in held_out]
    said = {
        (each.target, each.name): [str(label) for label in each.model.predict(texts)]
        for each in trained
    }
    _write(held_out, said, targets, folder)
    return Baselines(
        len(learned),
        [_judged(each, held_out, said[each.target, each.name], book, timed) for each in trained],
    )


def _kinds(book: EvaluationBook) -> list[tuple[str, Callable[[], Any]]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    b = book.baselines
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


def _vectors(learned: Sequence[Example], book: EvaluationBook) -> _Vectors:
    from sklearn.feature_extraction.text import TfidfVectorizer

    b = book.baselines
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
    each: _Trained, held_out: Sequence[Example], said: list[str], book: EvaluationBook, timed: bool
) -> Baseline:
    counted = Classifying(book)
    for example, label in zip(held_out, said, strict=True):
        counted.add(example.labels[each.target], label)
    texts = (example.text for example in held_out)
    ascending = (
        times_ms(lambda text: each.model.predict([text]), texts, book.rows["timed"])
        if timed
        else []
    )
    training_cpu_ms = each.training_cpu_ms if timed else None
    return Baseline(
        each.name,
        each.target,
        counted.figures(),
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
