"""The baseline as a sentiment backend: it needs nothing but the package."""

from __future__ import annotations

from pathlib import Path

from finops_cli.domain.sentiment import sentiment_of
from finops_cli.domain.stage_names import StageName
from finops_cli.files.digests import sha256_of_file
from finops_cli.models.protocol import Origin
from finops_cli.models.sentiment.classifier import STAGE, Classification
from finops_cli.models.sentiment.tfidf import bundled_path, load_tfidf

NAME = "baseline"


class BaselineClassifier:
    """Labels texts by a TF-IDF model; `path` None is the one that ships with finops."""

    concurrency = 0
    must_alternate = False

    def __init__(self, path: Path | None = None) -> None:
        """Load the model. Raises UsageError for an unusable file."""
        self._path = path or bundled_path()
        self._model = load_tfidf(self._path)
        digest, _ = sha256_of_file(self._path)
        self.origin = Origin(
            NAME, is_model=False, models={STAGE: self._path.name}, digests={STAGE: digest}
        )

    def prepare(self, stage: StageName) -> None:
        """Do nothing: the model is loaded."""

    def classify(self, text: str) -> Classification:
        """Label a text of any length."""
        return Classification(sentiment_of(self._model.scores(text)), "calibrated")

    def model_changes(self) -> tuple[str, ...]:
        """Return nothing: the model was read as a whole."""
        return ()

    def close(self) -> None:
        """Nothing is open."""
