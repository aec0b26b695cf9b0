"""The page of the API, made from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.openapi import openapi_document
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute

_SCHEMAS = "#/components/schemas/"
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Answer records", ("triage", "resolve", "run", "sentiment", "check", "clock", "book", "net")),
    ("Files and jobs", ("files", "jobs")),
    ("Fails, decisions and exports", ("fails", "export")),
    ("Rules and schemas", ("kb", "schemas")),
    ("The service itself", ()),
)
"""The groups of the page, and the first words of their paths; the last takes every other path."""


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter of an operation."""

    name: str
    place: str
    text: str
    accepted: str


class OperationView(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    anchor: str
    summary: str
    takes: tuple[str, ...]
    """The media types of its body."""
    takes_schema: str | None
    gives: tuple[str, ...]
    gives_schema: str | None
    status: str
    errors: tuple[str, ...]
    parameters: tuple[Parameter, ...]


class Group(Struct, frozen=True, kw_only=True):
    """Operations about one subject."""

    title: str
    operations: tuple[OperationView, ...]


def list_groups(document: Mapping[str, Any]) -> list[Group]:
    """Return the operations of a document by subject, each in the order of the document."""
    found: dict[str, list[OperationView]] = {title: [] for title, _ in _GROUPS}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[_group_of(path)].append(_view(path, method, operation))
    return [Group(title=title, operations=tuple(each)) for title, each in found.items() if each]


def _group_of(path: str) -> str:
    word = path.removeprefix("/v1/").partition("/")[0]
    for title, words in _GROUPS:
        if word in words or not words:
            return title
    return _GROUPS[-1][0]


def _view(path: str, method: str, operation: Mapping[str, Any]) -> OperationView:
    answers: Mapping[str, Any] = operation["responses"]
    status = next(each for each in answers if each.startswith("2"))
    body = operation.get("requestBody", {}).get("content", {})
    given = answers[status].get("content", {})
    return OperationView(
        method=method.upper(),
        path=path,
        anchor=operation["operationId"],
        summary=operation["summary"],
        takes=tuple(body),
        takes_schema=_schema_name(body),
        gives=tuple(given),
        gives_schema=_schema_name(given),
        status=status,
        errors=tuple(each for each in answers if each != status),
        parameters=tuple(_parameter(each) for each in operation.get("parameters", [])),
    )


def _schema_name(content: Mapping[str, Any]) -> str | None:
    """Return the name of the schema of a record, whether it comes alone or in a list."""
    for media in content.values():
        schemas = [media["schema"], media["schema"].get("items", {})]
        schemas += media["schema"].get("anyOf", [])
        for schema in schemas:
            reference: str = schema.get("$ref", "")
            if reference.startswith(_SCHEMAS):
                return reference.removeprefix(_SCHEMAS)
    return None


def _parameter(given: Mapping[str, Any]) -> Parameter:
    schema = given["schema"].get("items", given["schema"])
    accepted = [str(each) for each in schema.get("enum", [])]
    if not accepted and schema.get("type") == "boolean":
        accepted = ["true", "false"]
    examples = [f"such as {each}" for each in schema.get("examples", [])[:1]]
    return Parameter(
        name=given["name"],
        place=given["in"],
        text=given.get("description", ""),
        accepted=", ".join(accepted or examples) or str(schema.get("type", "text")),
    )


class ApiPage:
    """Answers `/docs`."""

    def __init__(self, parts: Parts) -> None:
        self._kb = parts.answering.kb

    @cached_property
    def _groups(self) -> list[Group]:
        return list_groups(openapi_document(self._kb))

    async def show(self, request: Request) -> Response:
        """Show each operation, and two clients that can be copied."""
        require_right(request, "see")
        address = f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1:8765')}"
        return render(request, "api.html", groups=self._groups, address=address)


def list_api_routes(parts: Parts) -> list[NamedRoute]:
    """Return the route of the page of the API."""
    return [NamedRoute("/docs", ApiPage(parts).show)]
