"""The routes that show the rules and the schemas."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.kb.entries import AnyEntry
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.kb.search import search
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.openapi import published_schemas
from finops_cli.service.problems import not_found, wrong_value
from finops_cli.service.records.bodies import JSON


class KnowledgeRoutes:
    """Answers the paths below `/v1/kb` and `/v1/schemas`."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    @cached_property
    def _schemas(self) -> dict[str, dict[str, Any]]:
        return published_schemas(self._kb)

    async def entries(self, request: Request) -> Response:
        """List the entries, or those that the words of `q` find, best first."""
        require_right(request, "see")
        unknown = sorted(set(request.query_params) - {"q"})
        if unknown:
            raise wrong_value("the parameter", unknown[0], "q")
        words = request.query_params.get("q")
        all_entries = dict(self._kb.entries)
        found = list(all_entries.values()) if words is None else search(all_entries, words)
        rows = [{"id": entry.id, "title": entry.title, "source": entry.source} for entry in found]
        return _json({"version": self._kb.version, "entries": rows})

    async def entry(self, request: Request) -> Response:
        """Return one entry. Raises ServiceError 404."""
        require_right(request, "see")
        id: str = request.path_params["id"]
        if id not in self._kb.entries:
            raise not_found(f"the kb entry {id}")
        return _json(_plain(self._kb.entries[id]))

    async def schema(self, request: Request) -> Response:
        """Return one JSON Schema. Raises ServiceError 404."""
        require_right(request, "see")
        name: str = request.path_params["name"]
        if name not in self._schemas:
            raise not_found(f"the schema {name} (there are {', '.join(self._schemas)})")
        return Response(
            msgspec.json.encode(self._schemas[name]), media_type="application/schema+json"
        )


def _plain(entry: AnyEntry) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(entry, builtin_types=(Decimal,))
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: object) -> Response:
    return Response(exact_json.encode(value), media_type=JSON)
