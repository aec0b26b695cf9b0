"""One output line, as the contracts draw it (section 2)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain import exact_json
from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.models.protocol import AttemptError, ModelNames


class Provenance(Struct):
    """Where an answer came from. `latency_ms` is null when the run was asked not to time itself.

    `attempts`: how often the model was asked, at most, by one stage. Of a language model also:
    `digests` of the models where they are known, `format_warnings` (text around its answer that
    was put aside), and `attempt_errors` (each attempt that was not accepted as it came).
    `masked`: the kinds of personal data that the guard masked in the record; absent where no guard
    read it.
    """

    backend: str
    models: ModelNames
    kb: str
    prompt_sha256: str | None
    attempts: int
    latency_ms: float | None
    digests: ModelNames | UnsetType = UNSET
    format_warnings: tuple[str, ...] | UnsetType = UNSET
    attempt_errors: tuple[AttemptError, ...] | UnsetType = UNSET
    masked: tuple[str, ...] | UnsetType = UNSET


class Verification(Struct, frozen=True):
    """What the checker found in each stage's answer."""

    triage: list[Finding] | UnsetType = UNSET
    resolution: list[Finding] | UnsetType = UNSET


class Rejection(Struct, frozen=True):
    """Why an input line could not be used."""

    line: int
    message: str
    problems: list[Problem]


class Line(Struct, frozen=True, kw_only=True):
    """A line of `run`, `triage` or `resolve`; a stage that the command does not have is left
    out.
    """

    fail_id: str
    status: Status
    triage: Triage | UnsetType | None = UNSET
    resolution: Resolution | UnsetType | None = UNSET
    verification: Verification
    provenance: Provenance
    resolution_skipped: str | UnsetType = UNSET
    error: Rejection | UnsetType = UNSET
    raw: dict[str, Any] | UnsetType = UNSET


def rejection(number: int, problems: list[Problem]) -> Rejection:
    """`number` counts input lines from 1."""
    return Rejection(
        number, f"line {number}: " + "; ".join(problem.message for problem in problems), problems
    )


def encode(line: Struct) -> bytes:
    """`line` as JSON with its newline; exact numbers as JSON numbers."""
    return exact_json.encode(line) + b"\n"


def encode_value(value: object) -> str:
    """Any value of the domain as indented JSON, for `--json`."""
    return msgspec.json.format(exact_json.encode(value)).decode()


_DECODER = msgspec.json.Decoder(Line)


def read_line(line: bytes) -> Line:
    """An output line that was written earlier. Raises msgspec.DecodeError when it is none."""
    return _DECODER.decode(line)
