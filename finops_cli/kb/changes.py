"""The differences between two rule sets, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import Struct

from finops_cli.kb.entries import AnyEntry
from finops_cli.kb.rulebook import KnowledgeBase


class FieldChange(Struct, frozen=True):
    """A value of an entry that differs. Null: the value is not there."""

    field: str
    """Its keys, with dots: `members.THRESHOLD`."""
    before: Any
    after: Any


class EntryChange(Struct, frozen=True, kw_only=True):
    """An entry that one rule set has, or that both have with other values."""

    id: str
    change: Literal["added", "removed", "changed"]
    title: str
    fields: tuple[FieldChange, ...] = ()
    """Empty for an entry that only one rule set has."""


def compare_rules(before: KnowledgeBase, after: KnowledgeBase) -> list[EntryChange]:
    """List the entries that differ, by id."""
    return list(_compare_entries(before.entries, after.entries))


def _compare_entries(
    before: Mapping[str, AnyEntry], after: Mapping[str, AnyEntry]
) -> Iterator[EntryChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            yield EntryChange(id=name, change="added", title=new.title)
        elif new is None and old is not None:
            yield EntryChange(id=name, change="removed", title=old.title)
        elif old != new and new is not None:
            fields = tuple(_compare_values("", _plain(old), _plain(new)))
            yield EntryChange(id=name, change="changed", title=new.title, fields=fields)


def _plain(entry: AnyEntry | None) -> Any:
    return msgspec.to_builtins(entry, builtin_types=(Decimal,))


def _compare_values(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    """Yield the innermost values that differ."""
    if isinstance(before, list) and isinstance(after, list):
        before, after = dict(enumerate(before, 1)), dict(enumerate(after, 1))
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            place = f"{path}.{key}" if path else str(key)
            yield from _compare_values(place, before.get(key), after.get(key))
    elif before != after:
        yield FieldChange(path, before, after)
