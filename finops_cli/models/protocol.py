"""Who answers the two questions of the desk. The engine is one answerer; language models are others."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage


class ModelNames(Struct, frozen=True):
    """Which model answered each stage; null where none did."""

    triage: str | None = None
    resolver: str | None = None


class Backend(Protocol):
    """Answers triage and resolution. `is_reference`: its answers are the rules' own, so they need no second reckoning."""

    name: str
    models: ModelNames
    prompt_sha256: str | None
    is_reference: bool

    def triage(self, fail: FailRecord) -> Triage: ...

    def resolve(self, case: ResolverInput) -> Resolution: ...
