"""A local folder as a sentiment backend: a language model with or without an adapter, or a
classifier such as DistilBERT.
"""

from __future__ import annotations

from finops_cli.domain.sentiment import LABELS, scores_of, sentiment_of
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.failures import Rejected
from finops_cli.models.prompts import sentiment_prompt_sha256
from finops_cli.models.protocol import CompletionRequest, Origin, TextModel
from finops_cli.models.sentiment.calibration import softmax
from finops_cli.models.sentiment.classifier import STAGE, Classification
from finops_cli.models.sentiment.language_model import LanguageClassifier
from finops_cli.models.sentiment.model_calibration import read_temperature
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.models.transformers.connect import open_transformers
from finops_cli.models.transformers.folders import read_folder


class LabelClassifier:
    """Labels texts with a network that has one output for each label."""

    must_alternate = False

    def __init__(self, model: TextModel, *, temperature: float) -> None:
        self.origin: Origin = model.origin
        self._model = model
        self._temperature = temperature

    @property
    def concurrency(self) -> int:
        """Return the number of texts in work at once."""
        return self._model.concurrency

    def prepare(self, stage: StageName) -> None:
        """Load the model."""
        self._model.prepare(stage)

    def classify(self, text: str) -> Classification:
        """Label a text. Raises `models.failures.ModelError` if no answer comes."""
        logits, is_truncated = self._ask(text)
        probabilities = softmax(logits, self._temperature)
        found = sentiment_of(scores_of(dict(zip(LABELS, probabilities, strict=True))))
        return Classification(found, "exact", found.label, is_truncated)

    def logits(self, text: str) -> tuple[float, ...]:
        """Return the logits of the labels, to fit a temperature."""
        return self._ask(text)[0]

    def _ask(self, text: str) -> tuple[tuple[float, ...], bool]:
        completion = self._model.complete(CompletionRequest(STAGE, text, seed=0, choices=LABELS))
        if len(completion.choice_logits) != len(LABELS):
            raise Rejected("the model gave no logits of the labels")
        size = self._model.context_size(STAGE)
        return completion.choice_logits, (completion.prompt_tokens or 0) > size

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for a model that was replaced."""
        return self._model.model_changes()

    def close(self) -> None:
        """Unload the model."""
        self._model.close()


def open_classifier(
    request: SentimentRequest, kb: KnowledgeBase
) -> tuple[LanguageClassifier | LabelClassifier, tuple[str, ...]]:
    """Open the folder of `request`.

    Raises UsageError for a folder that cannot be used, MissingPiece without a package.
    """
    folder, adapter = request.folder, request.adapter
    if folder is None:
        raise UsageError(
            "no folder was named for sentiment. --backend transformers needs one.",
            "add --sentiment-dir DIR",
        )
    model = open_transformers(
        BackendRequest(
            backend="transformers",
            stages=(STAGE,),
            folders={STAGE: folder},
            adapters={} if adapter is None else {STAGE: adapter},
            load_in_4bit=request.load_in_4bit,
            timeout=request.timeout,
            workers=request.workers,
        ),
        kb,
    )
    origin = model.origin
    digest = str((origin.digests or {})[STAGE])
    place = adapter or folder
    temperature = read_temperature(place, digest)
    notices: tuple[str, ...] = ()
    if temperature is None:
        option = "" if adapter is None else f" --adapter {adapter}"
        command = f"finops train --stage sentiment --kind calibration --base {folder}{option}"
        notices = (
            f"{place} has no calibration: its confidence is not calibrated; `{command}` fits it",
        )
    is_classifier = read_folder(STAGE, folder, adapter).is_classifier
    model.origin = origin._replace(
        models={STAGE: origin.models[STAGE]},
        digests={STAGE: digest},
        prompt_sha256=None if is_classifier else sentiment_prompt_sha256(),
        settings=f"{origin.settings} {request.on_violation} temperature {temperature}",
    )
    if is_classifier:
        return LabelClassifier(model, temperature=temperature or 1.0), notices
    classifier = LanguageClassifier(model, kb, temperature=temperature or 1.0, has_choices=True)
    return classifier, notices
