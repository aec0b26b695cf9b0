"""The options that `run`, `triage`, `resolve` and `evaluate` share, as the user gave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finops_cli.domain.enums import GuardMode, OnViolation


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where a run reads and writes, and how it behaves. `source` "-" is stdin."""

    source: str
    output: str | None
    backend: str
    workers: int | None
    resume: bool
    overwrite: bool
    timing: bool
    quiet: bool
    stats_json: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which language models answer, and how their answers are treated. `timeout` is in seconds."""

    hosts: list[str] | None
    on_violation: OnViolation
    keep_raw: bool
    timeout: float | None
    guard: GuardMode | None
    triage_model: str | None = None
    resolver_model: str | None = None
    triage_gguf: Path | None = None
    resolver_gguf: Path | None = None
