"""The backend that a call requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from finops_cli.domain.enums import OnViolation, ProsePolicy
from finops_cli.domain.stage_names import ANSWER_FIELDS, StageName
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.bundled import model_files


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """The options of a call that concern the backend. None and () mean the default."""

    backend: str = "auto"
    """A name of `models.backends.BACKENDS`, or auto."""
    stages: tuple[StageName, ...] = tuple(ANSWER_FIELDS)
    hosts: tuple[str, ...] = ()
    models: Mapping[StageName, str] = field(default_factory=dict)
    """Names of models, by stage."""
    on_violation: OnViolation = "repair"
    prose: ProsePolicy = "strict"
    timeout: float | None = None
    """Seconds for one answer."""
    workers: int | None = None
    """Maximum number of requests at once."""
    ggufs: Mapping[StageName, Path] = field(default_factory=dict)
    """Model files, by stage."""
    waits: bool = True
    """A request waits while no server answers. False, for a service: it fails at once."""
    folders: Mapping[StageName, Path] = field(default_factory=dict)
    """Folders that transformers saved, by stage."""
    adapters: Mapping[StageName, Path] = field(default_factory=dict)
    """Folders that PEFT saved, by stage; each is for the folder of its stage."""
    beside_bytes: int = 0
    """Memory of a model of another task of the call, which stays loaded beside those of the stages.
    """
    load_in_4bit: bool = False
    """Quantize the models of folders to NF4 while loading them; needs CUDA."""
    api_key_file: Path | None = None
    """The file with the key of servers of OpenAI's API; None: FINOPS_API_KEY, if it is set."""
    api: str | None = None
    """Requests to such servers: completions (None means it) or chat."""
    from_environment: frozenset[str] = frozenset()
    """Options set by an environment variable. If one cannot be satisfied, the default is used."""

    def model(self, stage: StageName, kb: KnowledgeBase) -> str:
        """Name the model of `stage`."""
        return self.models.get(stage) or kb.models.models[stage]

    @property
    def files(self) -> dict[StageName, Path]:
        """Return the named model files for the stages of the call."""
        return {stage: path for stage, path in self.ggufs.items() if stage in self.stages}

    def given_options(self, field: str, option: str) -> list[str]:
        """List the options of `field` that the call itself sets.

        In `option`, {stage} is replaced by the stage of a field that is by stage.
        """
        value = getattr(self, field)
        names = (
            [option.format(stage=stage) for stage in value]
            if isinstance(value, Mapping)
            else [option] * bool(value)
        )
        return [name for name in names if name not in self.from_environment]

    def or_bundled(self) -> Self:
        """Use the bundled model files if no file is named and each stage has one."""
        files = {} if self.files else model_files(self.stages)
        return replace(self, ggufs=files) if len(files) == len(self.stages) else self
