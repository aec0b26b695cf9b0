"""What `run`, `triage` and `resolve` do alike: set up the job, show it, report it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finops_cli.domain.enums import GuardMode, OnViolation


@dataclass(frozen=True, slots=True)
class Call:
    """The options of a stage command, as given."""

    source: str
    output: str | None
    backend: str
    workers: int | None
    resume: bool
    overwrite: bool
    timing: bool
    quiet: bool
    stats_json: Path | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The options about language models, as given."""

    hosts: list[str] | None
    on_violation: OnViolation
    keep_raw: bool
    timeout: float | None
    guard: GuardMode | None
    triage_model: str | None = None
    resolver_model: str | None = None
    triage_gguf: Path | None = None
    resolver_gguf: Path | None = None
