"""The sentiment backend that a call requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finops_cli.domain.enums import OnViolation
from finops_cli.models.backends import AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentRequest:
    """The options of a call that concern the backend. None and () mean the default."""

    backend: str = AUTO
    hosts: tuple[str, ...] = ()
    model: str | None = None
    """The name of the model on a server."""
    gguf: Path | None = None
    baseline: Path | None = None
    """A file that `finops train --stage sentiment --kind tfidf` wrote."""
    folder: Path | None = None
    """A folder that transformers saved."""
    adapter: Path | None = None
    """A folder that PEFT saved, for the model of `folder`."""
    load_in_4bit: bool = False
    api_key_file: Path | None = None
    api: str | None = None
    """Requests to servers of OpenAI's API: completions (None means it) or chat."""
    timeout: float | None = None
    """Seconds for one answer."""
    workers: int | None = None
    on_violation: OnViolation = "fallback"
    gguf_is_from_environment: bool = False
