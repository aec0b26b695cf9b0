"""Says in `origin` of a record where a joined fact comes from."""

from __future__ import annotations

from typing import Any


def note(record: dict[str, Any], how: str, name: str) -> None:
    """Name a field in `origin.derived` or `origin.assumed` of a record, in place."""
    origin = record.setdefault("origin", {})
    if isinstance(origin, dict):
        origin[how] = [*origin.get(how, ()), name]


def explain(record: dict[str, Any], name: str, source: dict[str, Any]) -> None:
    """Describe in `origin.joined` of a record the source of a joined field, in place."""
    origin = record.setdefault("origin", {})
    if isinstance(origin, dict):
        origin["joined"] = {**origin.get("joined", {}), name: source}
