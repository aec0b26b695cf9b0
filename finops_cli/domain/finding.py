"""A broken rule as a value: the rule, the place, the value expected and the value found."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """One violation in an output."""

    rule: str
    """An id of the knowledge base."""
    path: str
    """A JSON pointer into the checked object."""
    expected: Any
    actual: Any
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """One reason why an input cannot be used."""

    rule: str
    """An id of the knowledge base."""
    path: str
    """A JSON pointer into the input."""
    value: str
    """The value of the input, shortened."""
    accepted: str
    """The accepted values, in words."""
    message: str


class Damage(Struct, frozen=True):
    """A line of a file that gave no record, and why. `line` counts from 1."""

    file: str
    line: int
    problems: tuple[Problem, ...]
    fail_id: str | None = None
    """The name in the record, where it has one and can be read."""
