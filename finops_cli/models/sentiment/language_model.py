"""A language model as a sentiment backend: the prompt, the reply, and its confidence."""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.domain.sentiment import LABELS, ConfidenceSource, Label, Sentiment, scores_of
from finops_cli.domain.sentiment import sentiment_of as likeliest
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.first_turn import first_turn
from finops_cli.models.prompts import sentiment_text
from finops_cli.models.protocol import Completion, CompletionRequest, Origin, TextModel
from finops_cli.models.response_parser import CLOSED
from finops_cli.models.sentiment.calibration import softmax
from finops_cli.models.sentiment.classifier import STAGE, Classification
from finops_cli.models.token_estimate import estimated_tokens

TOP_TOKENS = 20
SCHEMA = {"type": "string", "enum": list(LABELS)}
_UNLISTED = 1.0
"""A label that a server does not list is less likely than the last one that it lists: by this
much of a logarithm, at least.
"""


class LanguageClassifier:
    """Labels texts with a language model.

    The runtime gives the logits of the labels, or a server lists the likeliest first tokens. A
    reply that is not a label is asked for once more, held to the three words.
    """

    must_alternate = False

    def __init__(
        self, model: TextModel, kb: KnowledgeBase, *, temperature: float = 1.0, has_choices: bool
    ) -> None:
        """Keep the parts. `has_choices`: the runtime knows the logits of the labels."""
        self.origin: Origin = model.origin._replace(is_model=True)
        self._model = model
        self._settings: ModelSettings = kb.models
        self._temperature = temperature
        self._has_choices = has_choices

    @property
    def concurrency(self) -> int:
        """Return the number of texts in work at once."""
        return self._model.concurrency

    def prepare(self, stage: StageName) -> None:
        """Load the model."""
        self._model.prepare(stage)

    def classify(self, text: str) -> Classification:
        """Label a text. Raises `models.failures.ModelError` if no answer comes."""
        shown, is_truncated = self._fit(text)
        prompt = sentiment_text(shown)
        completion = self._ask(prompt, attempt=1)
        found = self._read(completion)
        if found is not None:
            sentiment, source = found
            return Classification(sentiment, source, completion.text, is_truncated)
        again = self._ask(prompt, attempt=2)
        warnings = ("reply.unconstrained",) if again.is_unconstrained else ()
        found = self._read(again)
        if found is None:
            return Classification(None, "none", completion.text, is_truncated, 2, warnings)
        return Classification(*found, again.text, is_truncated, 2, warnings)

    def logits(self, text: str) -> tuple[float, ...]:
        """Return the logits of the labels, to fit a temperature; empty if they are not known."""
        return self._ask(sentiment_text(self._fit(text)[0]), attempt=1).choice_logits

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for a model that was replaced."""
        return self._model.model_changes()

    def close(self) -> None:
        """Unload the model, or close the connections."""
        self._model.close()

    def _fit(self, text: str) -> tuple[str, bool]:
        """Cut a text to what the context has room for. A prompt that is too long is not sent."""
        room = self._model.context_size(STAGE) - self._settings.tokens[f"{STAGE}_reserve"]
        shown = text
        while estimated_tokens(sentiment_text(shown)) > room and shown:
            spare = estimated_tokens(sentiment_text(shown)) - room
            shown = shown[: max(0, len(shown) - max(16, 2 * spare))]
        return shown, len(shown) < len(text)

    def _ask(self, prompt: str, attempt: int) -> Completion:
        return self._model.complete(
            CompletionRequest(
                STAGE,
                prompt,
                seed=self._settings.seed + attempt - 1,
                schema=SCHEMA if attempt > 1 and not self._has_choices else None,
                choices=LABELS if self._has_choices else (),
                top_logprobs=0 if self._has_choices else TOP_TOKENS,
                is_repeat=attempt > 1,
            )
        )

    def _read(self, completion: Completion) -> tuple[Sentiment, ConfidenceSource] | None:
        """Read the label, and its confidence where the runtime says it; None for another word."""
        if completion.choice_logits:
            source: ConfidenceSource = "exact" if completion.are_whole else "top_k"
            return self._calibrate(completion.choice_logits), source
        label = read_label(completion.text, self._settings)
        if label is None:
            return None
        logits = first_token_logits(completion.first_logprobs)
        if logits is None:
            return Sentiment(label=label, confidence=None, scores=None), "none"
        found = self._calibrate(logits)
        if found.label == label:
            return found, "top_k"
        return Sentiment(label=label, confidence=None, scores=None), "none"

    def _calibrate(self, logits: Sequence[float]) -> Sentiment:
        probabilities = softmax(logits, self._temperature)
        return likeliest(scores_of(dict(zip(LABELS, probabilities, strict=True))))


def read_label(text: str, settings: ModelSettings) -> Label | None:
    """Return the label that a reply is; None if it says anything else.

    Case, quotation marks and a full stop do not count, nor does finished reasoning before it.
    """
    turn = first_turn(text, settings).text
    word = turn.rpartition(CLOSED.strip())[2].strip().strip("\"'.").strip().lower()
    return next((label for label in LABELS if label == word), None)


def first_token_logits(listed: Sequence[tuple[str, float]]) -> tuple[float, ...] | None:
    """Return a logit for each label from the likeliest first tokens that a server lists.

    A token belongs to the label that it begins, if it begins only one. None if no token does.
    """
    found: dict[Label, float] = {}
    for token, logprob in listed:
        start = token.strip().strip('"').lower()
        labels = [label for label in LABELS if start and label.startswith(start)]
        if len(labels) == 1 and labels[0] not in found:
            found[labels[0]] = logprob
    if not found:
        return None
    unlisted = min(logprob for _, logprob in listed) - _UNLISTED
    return tuple(found.get(label, unlisted) for label in LABELS)
