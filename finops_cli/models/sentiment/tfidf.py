"""The baseline: TF-IDF features and a logistic regression, read from JSON, in plain Python.

`finops train --stage sentiment --kind tfidf` writes the file. It needs neither numpy nor pickle to
be used.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.sentiment import LABELS, Label, Scores, scores_of
from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.models.sentiment.calibration import softmax
from finops_cli.models.sentiment.features import Lexicon, build_lexicon, features

FORMAT = 1
FILE = "sentiment-baseline.json"


class TrainingNote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training data of a model: numbers of rows, and the digest of the grammar or the file."""

    train_rows: int
    calibration_rows: int
    data: str
    data_sha256: str


class TfidfFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file. Weights are in the order of `labels`."""

    kind: Literal["tfidf"] = "tfidf"
    format: int = FORMAT
    labels: tuple[Label, ...] = LABELS
    made_from: TrainingNote
    temperature: float
    """Divides the logits; fitted on the calibration split."""
    intercepts: tuple[float, float, float]
    unseen_idf: float
    """The inverse document frequency of a word that training did not see. It lowers confidence."""
    classes: dict[str, list[str]]
    """The words of each word class."""
    features: dict[str, tuple[float, float, float, float]]
    """The inverse document frequency of each feature, and its weight for each label."""


class Tfidf:
    """A loaded model. Several threads may ask it at once."""

    def __init__(self, file: TfidfFile) -> None:
        self.file = file
        self._lexicon: Lexicon = build_lexicon(file.classes)
        self._features = {
            name: (idf * a, idf * b, idf * c, idf * idf)
            for name, (idf, a, b, c) in file.features.items()
        }
        self._unseen = file.unseen_idf * file.unseen_idf

    def scores(self, text: str) -> Scores:
        """Return the calibrated probability of each label."""
        return scores_of(dict(zip(LABELS, self.probabilities(text), strict=True)))

    def probabilities(self, text: str) -> list[float]:
        """Return the calibrated probabilities in the order of LABELS."""
        return softmax(self.logits(text), self.file.temperature)

    def logits(self, text: str) -> tuple[float, float, float]:
        """Return the logits in the order of LABELS."""
        names = features(text, self._lexicon)
        known, first, second, third, square, unseen = self._features, 0.0, 0.0, 0.0, 0.0, 0
        counts: dict[str, int] = dict.fromkeys(names, 1)
        if len(counts) < len(names):
            counts = Counter(names)
        for name, count in counts.items():
            values = known.get(name)
            if values is None:
                unseen += is_word(name)
                continue
            a, b, c, weight = values
            if count > 1:
                scale = 1 + math.log(count)
                a, b, c, weight = a * scale, b * scale, c * scale, weight * scale * scale
            first += a
            second += b
            third += c
            square += weight
        norm = math.sqrt(square + unseen * self._unseen) or 1.0
        x, y, z = self.file.intercepts
        return (x + first / norm, y + second / norm, z + third / norm)


def is_word(feature: str) -> bool:
    """Return true for a single word, which counts even if training did not see it."""
    return " " not in feature and feature[0] not in "=!<"


def bundled_path() -> Path:
    """Return the path of the model that ships with finops."""
    return bundled_dir("bundled_models") / FILE


def load_tfidf(path: Path) -> Tfidf:
    """Load a model. Raises UsageError for a file that is missing or of another format."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=TfidfFile)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})",
            "give a file that `finops train --stage sentiment --kind tfidf` wrote",
        ) from error
    except UNREADABLE as error:
        raise UsageError(
            f"{path}: is not a baseline model ({error})",
            "give a file that `finops train --stage sentiment --kind tfidf` wrote",
        ) from error
    if file.format != FORMAT or file.labels != LABELS:
        raise UsageError(
            f"{path}: has format {file.format} and labels {', '.join(file.labels)}. Expected format"
            f" {FORMAT} and {', '.join(LABELS)}.",
            "train it again with this version of finops",
        )
    return Tfidf(file)
