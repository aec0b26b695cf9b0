"""The output line of `run`, `triage` and `resolve` (contracts, section 2)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain import exact_json
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.models.protocol import AttemptError, ModelNames
from finops_cli.pipeline.clock import ClockProvenance


class Provenance(Struct):
    """The origin of an answer. The last five fields are absent if they do not apply."""

    backend: str
    """`engine` or the name of a model backend."""
    models: ModelNames
    kb: str
    prompt_sha256: str | None
    attempts: int
    """The highest number of attempts of any stage."""
    latency_ms: float | None
    """Null if the run does not measure time."""
    digests: ModelNames | UnsetType = UNSET
    """Digests of the model files; absent if they are not known."""
    format_warnings: tuple[str, ...] | UnsetType = UNSET
    """Kinds of text around a model's answer that was ignored."""
    attempt_errors: tuple[AttemptError, ...] | UnsetType = UNSET
    """Each attempt that was not accepted unchanged."""
    clock: ClockProvenance | UnsetType = UNSET
    """The mode, moment and calendar of the clock; absent without one."""
    masked: tuple[str, ...] | UnsetType = UNSET
    """Kinds of personal data that the guard masked in the record; absent if no guard read it."""


class Verification(Struct, frozen=True):
    """The checker's findings about each stage's answer."""

    triage: list[Finding] | UnsetType = UNSET
    resolution: list[Finding] | UnsetType = UNSET


class Rejection(Struct, frozen=True):
    """The reasons why an input line could not be used."""

    line: int
    message: str
    problems: list[Problem]


class Line(Struct, frozen=True, kw_only=True):
    """An output line of `run`, `triage` or `resolve`.

    A stage that the command does not run is left out.
    """

    fail_id: str
    status: Status
    triage: Triage | UnsetType | None = UNSET
    resolution: Resolution | UnsetType | None = UNSET
    verification: Verification
    provenance: Provenance
    resolution_skipped: str | UnsetType = UNSET
    clock: Clock | UnsetType | None = UNSET
    """The dates of the law; absent in commands that do not show them."""
    clock_skipped: str | UnsetType = UNSET
    error: Rejection | UnsetType = UNSET
    raw: dict[str, Any] | UnsetType = UNSET


def rejection(number: int, problems: list[Problem]) -> Rejection:
    """Reject input line `number`, counted from 1."""
    return Rejection(
        number, f"line {number}: " + "; ".join(problem.message for problem in problems), problems
    )


def encode(line: Struct) -> bytes:
    """Encode `line` as JSON with a newline. Exact numbers become JSON numbers."""
    return exact_json.encode(line) + b"\n"


def encode_value(value: object) -> str:
    """Encode a value of the domain as indented JSON, for `--json`."""
    return msgspec.json.format(exact_json.encode(value)).decode()


_DECODER = msgspec.json.Decoder(Line)


def read_line(line: bytes) -> Line:
    """Decode an output line that was written earlier.

    Raises msgspec.DecodeError if it is not an output line.
    """
    return _DECODER.decode(line)
