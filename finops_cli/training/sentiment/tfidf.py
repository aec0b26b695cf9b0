"""Train the baseline with scikit-learn, and write it as JSON.

The features are those of `models.sentiment.features`, so that training and use agree to the bit.
Needs the extra `evaluate`.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from finops_cli import extras
from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.variations import load_classes
from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.calibration import fit_general_temperature
from finops_cli.models.sentiment.features import build_lexicon, features
from finops_cli.models.sentiment.tfidf import Tfidf, TfidfFile, TrainingNote, is_word
from finops_cli.training.sentiment.examples import LabelledSource

OnMessage = Callable[[str], None]
MODEL_FILE = "model.json"
_DIGITS = 5


def refuse_without_sklearn() -> None:
    """Raise MissingPiece if scikit-learn is not installed."""
    if find_spec("sklearn") is None:
        raise MissingPiece("--kind tfidf needs scikit-learn", extras.cure("evaluate"))


def train_tfidf(source: LabelledSource, kb: KnowledgeBase) -> TfidfFile:
    """Train on the train split, and fit the temperature on the calibration split.

    The temperature is 1 where the fitted one does not suit templates that have no part in it; texts
    of a file have no template, so each is a group of its own.

    Raises MissingPiece without scikit-learn, UsageError if a label or a split is missing.
    """
    refuse_without_sklearn()
    _refuse_missing_labels(source)
    settings, classes = kb.sentiment.baseline, load_classes()
    lexicon = build_lexicon(classes)
    draw = random.Random(settings["seed"])  # noqa: S311 - seeded, not a secret
    train = source.rows["train"]
    rows = [
        _Row(Counter(names), LABELS.index(row.label))
        for row in train
        for names in _copies(features(row.text, lexicon), settings["dropout_pct"], draw)
    ]
    vocabulary = _vocabulary(rows, settings)
    weights, intercepts = _fit(rows, vocabulary, settings)
    file = TfidfFile(
        made_from=TrainingNote(
            train_rows=len(train),
            calibration_rows=len(source.rows["calibration"]),
            data=source.name,
            data_sha256=source.sha256,
        ),
        temperature=1.0,
        intercepts=_three(intercepts),
        unseen_idf=round(vocabulary.unseen, _DIGITS),
        classes=classes,
        features={
            name: (round(idf, _DIGITS), *_three(weights[place]))
            for place, (name, idf) in enumerate(vocabulary.idf.items())
        },
    )
    held = source.rows["calibration"]
    temperature = fit_general_temperature(
        list(_logits(Tfidf(file), held)), [row.template or row.text for row in held]
    )
    return msgspec.structs.replace(file, temperature=temperature)


class _Row(NamedTuple):
    counts: Counter[str]
    label: int


class _Vocabulary(NamedTuple):
    idf: dict[str, float]
    unseen: float


def _copies(names: list[str], dropout_pct: int, draw: random.Random) -> Iterator[list[str]]:
    """Yield the features of a row, and once more with some of them left out."""
    yield names
    if dropout_pct:
        yield [name for name in names if draw.random() * 100 >= dropout_pct]


def _vocabulary(rows: Sequence[_Row], settings: Any) -> _Vocabulary:
    """Choose the features and compute their inverse document frequencies, smoothed by one row."""
    frequency: Counter[str] = Counter()
    for row in rows:
        frequency.update(row.counts.keys())
    common = sorted(
        (name for name, count in frequency.items() if count >= settings["min_rows"]),
        key=lambda name: (-frequency[name], name),
    )
    kept = sorted(common[: settings["features"]])
    idf = {name: math.log((1 + len(rows)) / (1 + frequency[name])) + 1 for name in kept}
    return _Vocabulary(idf, math.log(1 + len(rows)) + 1)


def _fit(
    rows: Sequence[_Row], vocabulary: _Vocabulary, settings: Any
) -> tuple[list[Sequence[float]], Sequence[float]]:
    """Fit the regression. Returns weights by feature and label, and intercepts by label."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    known = {name: (place, idf) for place, (name, idf) in enumerate(vocabulary.idf.items())}
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for row in rows:
        found: list[float] = []
        unseen = 0
        for name, count in row.counts.items():
            if name in known:
                place, idf = known[name]
                columns.append(place)
                found.append((1 + math.log(count)) * idf if count > 1 else idf)
            else:
                unseen += is_word(name)
        norm = math.sqrt(sum(value * value for value in found) + unseen * vocabulary.unseen**2)
        values += [value / (norm or 1.0) for value in found]
        ends.append(len(columns))
    matrix = csr_matrix((values, columns, ends), shape=(len(rows), len(known)))
    model = LogisticRegression(
        C=settings["penalty"], max_iter=settings["iterations"], random_state=settings["seed"]
    )
    with threadpool_limits(1):  # two threads wait for each other: 14 s of CPU for 6
        model.fit(matrix, [row.label for row in rows])
    return list(model.coef_.T.tolist()), list(model.intercept_.tolist())


def _logits(
    model: Tfidf, rows: Iterable[Sentence]
) -> Iterator[tuple[tuple[float, float, float], int]]:
    return ((model.logits(row.text), LABELS.index(row.label)) for row in rows)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (round(value, _DIGITS) for value in values)
    return first, second, third


def _refuse_missing_labels(source: LabelledSource) -> None:
    for split, rows in source.rows.items():
        if split == "test":
            continue
        missing = [label for label in LABELS if not any(row.label == label for row in rows)]
        if missing:
            raise UsageError(
                f"{source.name}: the {split} split of {len(rows):,} texts has no"
                f" {' and no '.join(missing)} text",
                "give more labelled texts, with all three labels",
            )


def write_tfidf(file: TfidfFile, folder: Path) -> Path:
    """Write the model to `folder` and return its path. Equal models have equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    path.write_bytes(encode_tfidf(file))
    return path


def encode_tfidf(file: TfidfFile) -> bytes:
    """Encode the model as JSON, one feature a line, so that versions can be compared."""
    head = msgspec.to_builtins(file)
    table = head.pop("features")
    lines = ",\n".join(
        f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(values).decode()}"
        for name, values in table.items()
    )
    return msgspec.json.encode(head)[:-1] + b',"features":{\n' + lines.encode() + b"\n}}\n"
