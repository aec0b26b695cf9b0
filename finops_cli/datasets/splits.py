"""The split that an example belongs to.

The content decides, so a record and its near copies are always in the same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import ResolverInput

T = TypeVar("T", FailRecord, ResolverInput)
Split = Literal["train", "eval"]
_NAMES_AND_TEXT = frozenset(
    (
        "fail_id",
        "cusip",
        "counterparty",
        "dtc",
        "notes",
        "dk_reason",
        "new_cusip",
        "origin",
        "reason",
    )
)
"""Identifiers and free text. Records that differ only in these count as the same."""


def intended_split(index: int, every: int) -> Split:
    """Return the split that example `index` is made for: one in `every` is for evaluation."""
    return "eval" if index % every == every - 1 else "train"


def content_key(example: FailRecord | ResolverInput) -> bytes:
    """Compute a digest of all fields of `example` that the rules read."""
    plain = msgspec.to_builtins(example, builtin_types=(), enc_hook=str)
    return hashlib.sha256(exact_json.encode(_without_names(plain))).digest()


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_names(inner) for key, inner in value.items() if key not in _NAMES_AND_TEXT
        }
    if isinstance(value, list | tuple):
        return [_without_names(inner) for inner in value]
    return value


def split_of(key: bytes, every: int) -> Split:
    """Return the split that content with this key belongs to."""
    return "eval" if int.from_bytes(key[:8], "big") % every == every - 1 else "train"


def first_in_split(examples: Iterable[T], index: int, every: int) -> T:
    """Return the first of `examples` that belongs to the split that example `index` is made for."""
    split = intended_split(index, every)
    return next(example for example in examples if split_of(content_key(example), every) == split)
