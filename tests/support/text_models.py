"""Language models for tests: real models that say what they are told to, in the words of a
model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from finops_cli.devtools.fake_ollama.reference_answers import correct_text
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import ModelError
from finops_cli.models.protocol import (
    Backend,
    Completion,
    CompletionRequest,
    Origin,
)
from finops_cli.models.verified_backend import OnViolation, VerifiedBackend

OPENED: list[Backend] = []
"""Backends with connections; the fixture `closes` closes them when their test ends."""
Says = Callable[[CompletionRequest, int], str | ModelError | Completion]


class ScriptedModel:
    """Says what `says` gives for each ask and its number (from 1); a failure is raised.

    `asks` keeps what was asked.
    """

    concurrency = 2
    must_alternate = False

    def __init__(self, says: Says, room: int = 100_000) -> None:
        names = {"triage": "small", "resolver": "smaller"}
        digests = {"triage": "1" * 64, "resolver": "2" * 64}
        self.origin = Origin("speaking", True, names, digests, "0" * 64, "{}")
        self.asks: list[CompletionRequest] = []
        self._says, self._room, self._lock = says, room, Lock()

    def prepare(self, stage: StageName) -> None:
        """Always ready."""

    def model_changes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        """Nothing is open."""

    def modelfile(self, stage: StageName) -> str:
        return stage

    def context_size(self, stage: StageName) -> int:
        return self._room

    def complete(self, ask: CompletionRequest) -> Completion:
        with self._lock:
            self.asks.append(ask)
            number = len(self.asks)
        said = self._says(ask, number)
        if isinstance(said, ModelError):
            raise said
        return said if isinstance(said, Completion) else Completion(said)


def right(
    ask: CompletionRequest,
    kb: KnowledgeBase,
    change: Callable[[dict[str, Any]], Any] | None = None,
) -> str:
    """The engine's answer to the record in the prompt, as a model words it, changed by `change`."""
    return correct_text(ask.prompt, ask.schema is not None, kb, change)


def a_model(
    kb: KnowledgeBase,
    change: Callable[[str, dict[str, Any]], None] | None = None,
    policy: OnViolation = "repair",
) -> VerifiedBackend:
    """A backend that is right but for what `change` (given the stage) does to each answer."""

    def says(ask: CompletionRequest, _: int) -> str:
        def changed(answer: dict[str, Any]) -> dict[str, Any]:
            if change is not None:
                change(ask.stage, answer)
            return answer

        return right(ask, kb, changed)

    return VerifiedBackend(ScriptedModel(says), kb, policy)


def hurried(kb_dir: Path) -> None:
    """Make the pauses of the knowledge base in `kb` as short as a test wants them; the
    counts stay.
    """
    file = kb_dir / "models.toml"
    text = file.read_text()
    for was, now in (
        (
            "{ first = 0.25, factor = 2, longest = 15, jitter = 0.5 }",
            "{ first = 0.01, factor = 2, longest = 0.05, jitter = 0.5 }",
        ),
        ("open = 2, factor = 2, longest = 30", "open = 0.02, factor = 2, longest = 0.1"),
        (
            "connect = 5, load = 600, triage = 120, resolver = 600",
            "connect = 5, load = 30, triage = 30, resolver = 30",
        ),
    ):
        assert was in text
        text = text.replace(was, now)
    file.write_text(text)
