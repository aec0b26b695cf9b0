"""Says in `origin` of a record where a joined fact comes from."""

from __future__ import annotations

from typing import Any, Literal

from finops_cli.pipeline.inputs import add_names


def note(record: dict[str, Any], how: Literal["derived", "assumed"], name: str) -> None:
    """Name a field in `origin.derived` or `origin.assumed` of a record, in place."""
    names = {"derived": (), "assumed": (), how: (name,)}
    record["origin"] = add_names(record.get("origin"), names["derived"], names["assumed"])


def explain(record: dict[str, Any], name: str, source: dict[str, Any]) -> None:
    """Describe in `origin.joined` of a record the source of a joined field, in place.

    An origin that is not an object stays as it is: the schema reports it.
    """
    origin = record.get("origin")
    if origin is not None and not isinstance(origin, dict):
        return
    known = (origin or {}).get("joined")
    joined = {**known, name: source} if isinstance(known, dict) else {name: source}
    record["origin"] = {**(origin or {}), "joined": joined}
