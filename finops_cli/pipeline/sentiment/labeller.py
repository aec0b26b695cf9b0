"""Labels one text with a backend; the baseline answers where a language model gives no label."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain.enums import OnViolation, Status
from finops_cli.domain.sentiment import ConfidenceSource, Flag, Sentiment
from finops_cli.models.failures import ModelError
from finops_cli.models.sentiment.classifier import Classification, Classifier


class LabelledText(NamedTuple):
    """The answer to one text, or to a part of one."""

    text: str
    sentiment: Sentiment | None
    source: ConfidenceSource
    flags: tuple[Flag, ...] = ()
    status: Status = "ok"
    reply: str | None = None
    error: str | None = None
    """The rule (`reply.*`) by which the backend failed."""
    reason: str = ""
    """Why the baseline answered, in words; empty where the backend did."""
    attempts: int = 1
    format_warnings: tuple[str, ...] = ()


class Labeller:
    """Asks a classifier about texts. `baseline` is the file of the baseline (None: bundled)."""

    def __init__(
        self,
        classifier: Classifier,
        low_confidence: Decimal,
        on_violation: OnViolation = "fallback",
        baseline: Path | None = None,
    ) -> None:
        self.classifier = classifier
        self._low = low_confidence
        self._on_violation = on_violation
        self._path = baseline
        self._baseline: Classifier | None = None if classifier.origin.is_model else classifier

    def label(self, text: str) -> LabelledText:
        """Ask the backend about a text; the baseline answers for a model that cannot."""
        try:
            answer = self.classifier.classify(text)
        except ModelError as failure:
            received = Classification(None, "none", failure.received)
            return self._settle(text, received, failure)
        if answer.sentiment is None:
            return self._settle(text, answer, None)
        flags = self.flags(answer.sentiment, is_truncated=answer.is_truncated)
        return LabelledText(
            text,
            answer.sentiment,
            answer.source,
            flags,
            reply=answer.reply,
            attempts=answer.attempts,
            format_warnings=answer.format_warnings,
        )

    def flags(self, sentiment: Sentiment | None, *, is_truncated: bool) -> tuple[Flag, ...]:
        """Return the flags of a label: a low confidence, and a text that was cut."""
        flags: list[Flag] = []
        if sentiment is not None and sentiment.confidence is not None:
            flags += ["low_confidence"] * (sentiment.confidence < self._low)
        flags += ["truncated"] * is_truncated
        return tuple(flags)

    def _settle(
        self, text: str, answer: Classification, failure: ModelError | None
    ) -> LabelledText:
        """Answer for a model that gave no label. `failure` None: it said something else."""
        rule = None if failure is None else failure.rule
        invalid: tuple[Flag, ...] = ("invalid_label",) if failure is None else ()
        warnings = answer.format_warnings
        if self._on_violation == "reject":
            return LabelledText(
                text,
                None,
                "none",
                invalid,
                "failed",
                answer.reply,
                rule,
                format_warnings=warnings,
            )
        if self._baseline is None:
            from finops_cli.models.sentiment.baseline import BaselineClassifier

            self._baseline = BaselineClassifier(self._path)
        found = self._baseline.classify(text)
        flags = (*invalid, *self.flags(found.sentiment, is_truncated=False))
        return LabelledText(
            text,
            found.sentiment,
            found.source,
            flags,
            "fallback",
            answer.reply,
            rule,
            "the reply is not a label" if failure is None else str(failure),
            format_warnings=warnings,
        )
