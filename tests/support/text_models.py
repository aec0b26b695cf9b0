"""Language models for tests: they are plugged in like real models and give scripted replies."""

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
Reply = Callable[[CompletionRequest, int], str | ModelError | Completion]


class ScriptedModel:
    """A model that gives the reply of a function for each request and its number, from 1. A failure
    is raised. `requests` keeps the requests.
    """

    concurrency = 2
    must_alternate = False

    def __init__(self, reply: Reply, room: int = 100_000) -> None:
        names = {"triage": "small", "resolver": "smaller"}
        digests = {"triage": "1" * 64, "resolver": "2" * 64}
        self.origin = Origin("llama-cpp", True, names, digests, "0" * 64, "{}")
        self.requests: list[CompletionRequest] = []
        self._says, self._room, self._lock = reply, room, Lock()

    def prepare(self, stage: StageName) -> None:
        """Do nothing: the model is always ready."""

    def model_changes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def modelfile(self, stage: StageName) -> str:
        return stage

    def context_size(self, stage: StageName) -> int:
        return self._room

    def complete(self, request: CompletionRequest) -> Completion:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
        text = self._says(request, number)
        if isinstance(text, ModelError):
            raise text
        return text if isinstance(text, Completion) else Completion(text)


def correct_answer(
    request: CompletionRequest,
    kb: KnowledgeBase,
    change: Callable[[dict[str, Any]], Any] | None = None,
) -> str:
    """Return the engine's answer to the record in the prompt, in the form of a model, changed by
    `change`.
    """
    return correct_text(request.prompt, request.schema is not None, kb, change)


def a_model(
    kb: KnowledgeBase,
    change: Callable[[str, dict[str, Any]], None] | None = None,
    policy: OnViolation = "repair",
) -> VerifiedBackend:
    """Return a backend that is correct except for what `change` (with the stage) does to each
    answer.
    """

    def reply(request: CompletionRequest, _: int) -> str:
        def apply_change(answer: dict[str, Any]) -> dict[str, Any]:
            if change is not None:
                change(request.stage, answer)
            return answer

        return correct_answer(request, kb, apply_change)

    return VerifiedBackend(ScriptedModel(reply), kb, policy)


def shorten_pauses(kb_dir: Path) -> None:
    """Shorten the pauses of the knowledge base in `kb_dir` for a test, and keep its counts."""
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
