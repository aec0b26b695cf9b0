"""The backend that a call requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from finops_cli.domain.enums import OnViolation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.bundled import model_files
from finops_cli.models.protocol import ModelStage


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """The options of a call that concern the backend. None and () mean the default."""

    backend: str = "auto"
    """A name of `models.backends.BACKENDS`, or auto."""
    stages: tuple[ModelStage, ...] = ("triage", "resolver")
    hosts: tuple[str, ...] = ()
    triage_model: str | None = None
    resolver_model: str | None = None
    on_violation: OnViolation = "repair"
    timeout: float | None = None
    """Seconds for one answer."""
    workers: int | None = None
    """Maximum number of requests at once."""
    triage_gguf: Path | None = None
    resolver_gguf: Path | None = None
    from_environment: frozenset[str] = frozenset()
    """Fields set by an environment variable. If one cannot be satisfied, the default is used."""

    def model(self, stage: ModelStage, kb: KnowledgeBase) -> str:
        """Name the model of `stage`."""
        named = self.triage_model if stage == "triage" else self.resolver_model
        return named or kb.models.models[stage]

    @property
    def ggufs(self) -> dict[ModelStage, Path]:
        """Return the named model files for the stages of the call."""
        named: dict[ModelStage, Path | None] = {
            "triage": self.triage_gguf,
            "resolver": self.resolver_gguf,
        }
        return {
            stage: path
            for stage, path in named.items()
            if path is not None and stage in self.stages
        }

    def is_given(self, field: str) -> bool:
        """Return true if the call itself sets the field."""
        return bool(getattr(self, field)) and field not in self.from_environment

    def or_bundled(self) -> Self:
        """Use the bundled model files if no file is named and each stage has one."""
        files = {} if self.ggufs else model_files(self.stages)
        if len(files) < len(self.stages):
            return self
        return replace(self, triage_gguf=files.get("triage"), resolver_gguf=files.get("resolver"))
