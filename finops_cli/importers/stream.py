"""The items that an importer yields: fail records as JSON lines, and reports of the rest."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.finding import Problem
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.verify.schemas import show_value


class Damage(Struct, frozen=True):
    """A line of a file that gave no record, and why. `line` counts from 1."""

    file: str
    line: int
    problems: tuple[Problem, ...]


class FileRead(Struct, frozen=True):
    """The end of a file; `rows` counts all its rows, damaged ones too."""

    file: str
    rows: int


class Gap(Struct, frozen=True):
    """Two successive dates of the files, with settlement days between them that no file has."""

    after: str
    before: str


Item = bytes | Damage | FileRead | Gap
"""bytes: a fail record as one line of JSON, without its newline."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def admit(record: dict[str, Any], file: str, line: int) -> bytes | Damage:
    """Encode `record` as a line of JSON, after checking it as `finops run` does."""
    encoded = _ENCODER.encode(record)
    problems = parse_fail_line(encoded).problems
    return Damage(file, line, tuple(problems)) if problems else encoded


def unusable(rule: str, field: str, value: str, accepted: str) -> Problem:
    """Report that `field` of a row holds `value`, where only `accepted` is valid."""
    text = show_value(value)
    return Problem(rule, f"/{field}", text, accepted, f"{field} is {text}; accepted: {accepted}")
