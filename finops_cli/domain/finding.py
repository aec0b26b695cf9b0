"""A broken rule as a value: the rule, the place, the value expected and the value found."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One violation in an output.

    `rule` is an id of the knowledge base, `path` a JSON pointer into the judged object.
    """

    rule: str
    path: str
    expected: Any
    actual: Any
    message: str


class Problem(Struct, frozen=True):
    """One reason why an input cannot be used. `value` is a short rendering of the value found."""

    rule: str
    path: str
    value: str
    accepted: str
    message: str


class Damage(Struct, frozen=True):
    """A line of a file that gave no record, and why. `line` counts from 1."""

    file: str
    line: int
    problems: tuple[Problem, ...]
