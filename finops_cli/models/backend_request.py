"""What a call says about who is to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from finops_cli.domain.enums import BackendName, OnViolation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.bundled import model_files
from finops_cli.models.protocol import ModelStage


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """`timeout` in seconds for one answer; `workers` requests at once, where somebody said how
    many. Names not given: the defaults.
    """

    backend: BackendName = "auto"
    stages: tuple[ModelStage, ...] = ("triage", "resolver")
    hosts: tuple[str, ...] = ()
    triage_model: str | None = None
    resolver_model: str | None = None
    on_violation: OnViolation = "repair"
    timeout: float | None = None
    workers: int | None = None
    triage_gguf: Path | None = None
    resolver_gguf: Path | None = None
    files_asked_for: bool = False
    """Whether the call itself names a model file: then `auto` does not do without it."""

    def model(self, stage: ModelStage, kb: KnowledgeBase) -> str:
        """The name of the model of `stage`."""
        named = self.triage_model if stage == "triage" else self.resolver_model
        return named or kb.models.models[stage]

    @property
    def ggufs(self) -> dict[ModelStage, Path]:
        """The model files that are named, for the stages that are wanted."""
        named: dict[ModelStage, Path | None] = {
            "triage": self.triage_gguf,
            "resolver": self.resolver_gguf,
        }
        return {
            stage: path
            for stage, path in named.items()
            if path is not None and stage in self.stages
        }

    def or_shipped(self) -> Self:
        """With the model files that ship, where none is named and there is one for each stage; else
        as it is.
        """
        files = {} if self.ggufs else model_files(self.stages)
        if len(files) < len(self.stages):
            return self
        return replace(self, triage_gguf=files.get("triage"), resolver_gguf=files.get("resolver"))
