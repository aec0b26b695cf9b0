"""The tone of the notes of a fail, beside its answers and never in its score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.sentiment import Tone
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Backend
from finops_cli.models.sentiment.classifier import STAGE, Classifier
from finops_cli.pipeline.sentiment.labeller import Labeller


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneConfig:
    """The settings with which a process reads the tone by the baseline."""

    baseline: Path | None = None

    def open(self, kb: KnowledgeBase) -> ToneReader:
        """Open the baseline."""
        from finops_cli.models.sentiment.baseline import BaselineClassifier

        return ToneReader(BaselineClassifier(self.baseline), kb)


class ToneReader:
    """Labels the notes of a record. Several threads may ask it at once."""

    def __init__(self, classifier: Classifier, kb: KnowledgeBase) -> None:
        self.classifier = classifier
        self._labeller = Labeller(classifier, kb.sentiment.low_confidence)
        self._counting = Lock()
        self._read, self._replaced, self._reason = 0, 0, ""

    @property
    def fingerprint(self) -> str:
        """Describe the backend, for the note of a run."""
        origin = self.classifier.origin
        digest = None if origin.digests is None else origin.digests.get(STAGE)
        return f"--sentiment {origin.name} {origin.models.get(STAGE)} {digest} {origin.settings}"

    def describe_fallbacks(self) -> str:
        """Say how many texts the baseline labelled in place of the model, and why it did the first
        time; empty if it did not.
        """
        if not self._replaced:
            return ""
        name = self.classifier.origin.models.get(STAGE) or self.classifier.origin.name
        return (
            f"the baseline labelled {self._replaced:,} of {self._read:,} texts in place of {name}:"
            f" {self._reason}"
        )

    def read(self, notes: str | None, *, is_withheld: bool = False) -> Tone | None:
        """Return the tone of `notes`, as the guard masked them; None without notes.

        `is_withheld`: nobody could mask them, so no backend reads them.
        """
        if notes is None or not notes.strip():
            return None
        origin = self.classifier.origin
        digests = origin.digests or {}
        model, digest = origin.models.get(STAGE), digests.get(STAGE)
        if is_withheld:
            return Tone(
                sentiment=None, flags=(), status="failed", source="none", backend=origin.name,
                model=model, digest=digest,
            )  # fmt: skip
        found = self._labeller.label(notes)
        with self._counting:
            self._read += 1
            self._replaced += bool(found.reason)
            self._reason = self._reason or found.reason
        return Tone(
            sentiment=found.sentiment,
            flags=found.flags,
            status=found.status,
            source=found.source,
            backend=origin.name,
            model=model,
            digest=digest,
        )


class BackendWithTone:
    """A backend of fails and the backend of the tone, as one for the scheduler."""

    def __init__(self, backend: Backend, tone: ToneReader) -> None:
        self.origin = backend.origin
        self._backend = backend
        self._tone = tone.classifier
        self._is_prepared = False

    @property
    def concurrency(self) -> int:
        """Return the larger number of the two."""
        return max(self._backend.concurrency, self._tone.concurrency)

    @property
    def must_alternate(self) -> bool:
        """Return true if the models of the fails must alternate."""
        return self._backend.must_alternate

    def prepare(self, stage: StageName) -> None:
        """Load the model of a stage, and once the model of the tone."""
        if not self._is_prepared:
            self._is_prepared = True
            self._tone.prepare(STAGE)
        self._backend.prepare(stage)

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        """Triage a fail."""
        return self._backend.triage(fail)

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        """Resolve a case."""
        return self._backend.resolve(case)

    def model_changes(self) -> tuple[str, ...]:
        """Return sentences about models that were replaced during the run."""
        return (*self._backend.model_changes(), *self._tone.model_changes())

    def close(self) -> None:
        """Close both."""
        self._backend.close()
        self._tone.close()
