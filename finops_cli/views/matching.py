"""Finds a fail of one file in another: by its `fail_id`, else by the facts that name it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

_DEFAULT_NAME = re.compile("line-[0-9]+")
"""The name of a record without a `fail_id`: it says nothing about another file."""


class Named(Protocol):
    """The facts that name a fail."""

    @property
    def fail_id(self) -> str:
        """The name of the fail, or `line-7`."""

    @property
    def cusip(self) -> str | None:
        """The security."""

    @property
    def counterparty(self) -> str | None:
        """The DTC participant."""

    @property
    def settlement_date(self) -> str | None:
        """ISO date."""


FailOf = TypeVar("FailOf", bound=Named)
FailOfFile = TypeVar("FailOfFile", bound=Named, covariant=True)


class Fails(Protocol[FailOfFile]):
    """The fails of a file."""

    def named(self, name: str) -> Sequence[tuple[int, FailOfFile]]:
        """Return the fails called `name`, with their line numbers."""

    def alike(self, fail: Any) -> Sequence[FailOfFile]:
        """Return up to two fails with the CUSIP, counterparty and settlement date of `fail`."""


def find_match(fail: Named, mine: Fails[Any], other: Fails[FailOf]) -> tuple[FailOf | None, bool]:
    """Find `fail`, which is one of `mine`, among `other`.

    CUSIP, counterparty and settlement date decide only where the name does not, and only where they
    name one fail in each file. Return the fail, or None; and whether it is None because the facts
    name several fails of a file.
    """
    if has_name(fail):
        named = other.named(fail.fail_id)
        if named:
            return named[0][1], False
    if fail.cusip is None:
        return None, False
    candidates = other.alike(fail)
    if not candidates:
        return None, False
    if len(candidates) > 1 or len(mine.alike(fail)) > 1:
        return None, True
    [found] = candidates
    is_taken = has_name(found) and mine.named(found.fail_id)
    return (None if is_taken else found), False


def has_name(fail: Named) -> bool:
    """Return true when the record of the fail gave a `fail_id`."""
    return _DEFAULT_NAME.fullmatch(fail.fail_id) is None
