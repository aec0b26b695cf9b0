"""The protocol of a sentiment backend, and its answers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from finops_cli.domain.sentiment import ConfidenceSource, Sentiment
from finops_cli.domain.stage_names import StageName
from finops_cli.models.protocol import Origin

STAGE: StageName = "sentiment"


class Classification(NamedTuple):
    """The answer of a backend to one text."""

    sentiment: Sentiment | None
    """None: the model said something that is not a label."""
    source: ConfidenceSource
    reply: str | None = None
    """The text of a language model."""
    is_truncated: bool = False
    """The model read only the beginning of the text."""
    attempts: int = 1
    format_warnings: tuple[str, ...] = ()
    """Rules (`reply.*`) of what was tolerated."""


class Classifier(Protocol):
    """Labels texts. Several threads may ask it at once."""

    origin: Origin

    @property
    def concurrency(self) -> int:
        """Return the number of texts in work at once (0: synchronously in this process)."""
        ...

    @property
    def must_alternate(self) -> bool:
        """Return false: there is one model."""
        ...

    def prepare(self, stage: StageName) -> None:
        """Load the model."""
        ...

    def classify(self, text: str) -> Classification:
        """Label a text. Raises `models.failures.ModelError` if no answer comes."""
        ...

    def model_changes(self) -> tuple[str, ...]:
        """Return sentences about a model that no longer matches `origin`."""
        ...

    def close(self) -> None: ...
