"""The OpenAPI document, made from the types that exist and one table of routes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from finops_cli.checking.outputs import Verdict
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.clock_lines import ClockLine
from finops_cli.pipeline.output import Line
from finops_cli.service.problems import MEDIA_TYPE, ProblemDocument
from finops_cli.verify.codecs import CODECS, TRIAGE, triage_codec
from finops_cli.verify.schemas import schema_of
from finops_cli.version import __version__

_JSON, _LINES, _ANY = "application/json", "application/jsonl", {"type": "object"}
_PREFIX = "#/components/schemas/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table: a route, what it takes, and what it answers."""

    method: str
    path: str
    summary: str
    takes: str | None = None
    """The schema of a record in the body; None: no body."""
    gives: str | None = None
    """The schema of an answer; None: any object."""
    streams: bool = False
    """The route takes JSON Lines too."""
    parameters: tuple[dict[str, Any], ...] = ()
    errors: tuple[int, ...] = ()
    """Errors beside 401, 403, 421, 429 and 503, which every route may have."""
    is_open: bool = False
    """The route needs no token."""


def _parameter(
    name: str, text: str, schema: dict[str, Any], place: str = "query"
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "description": text,
        "schema": schema,
        "required": place == "path",
    }


_SWITCH = {"type": "boolean", "default": False}
_WORD = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_OPTIONS = (
    _parameter(
        "as_of",
        "Day or moment of the clock, in Eastern Time or with an offset.",
        {"type": "string", "examples": ["2026-11-27", "2026-11-27T09:15"]},
    ),
    _parameter(
        "clock",
        "Deadline that the plan works against.",
        {"type": "string", "enum": ["card", "regulation"], "default": "card"},
    ),
    _parameter("timing", "Show the latency of each answer.", _SWITCH),
    _parameter("keep_raw", "Show the texts of the models for accepted answers too.", _SWITCH),
    _parameter("strict_input", "Reject a record whose facts contradict each other.", _SWITCH),
)
_BODY = (400, 413, 415, 422)


def _answers(path: str, summary: str, takes: str) -> Operation:
    """Describe a route that answers records with lines of a run."""
    return Operation(
        method="post",
        path=path,
        summary=summary,
        takes=takes,
        gives="run",
        streams=True,
        parameters=_OPTIONS,
        errors=_BODY,
    )


def _shows(path: str, summary: str, **more: Any) -> Operation:
    """Describe a route that shows something."""
    return Operation(method="get", path=path, summary=summary, **more)


OPERATIONS = (
    _answers("/v1/run", "Triage and plan records, every answer checked.", "fail"),
    _answers("/v1/triage", "Triage records.", "fail"),
    _answers("/v1/resolve", "Plan the resolution of cases.", "resolver-input"),
    Operation(
        method="post",
        path="/v1/check",
        summary="Check answers against the rules.",
        gives="verdict",
        errors=(400, 413, 415),
    ),
    Operation(
        method="post",
        path="/v1/clock",
        summary="Compute the dates of the law.",
        takes="fail",
        gives="clock",
        parameters=_OPTIONS,
        errors=_BODY,
    ),
    _shows(
        "/v1/kb",
        "List or search the rules.",
        parameters=(_parameter("q", "Words to look for.", _WORD),),
        errors=(422,),
    ),
    _shows(
        "/v1/kb/{id}",
        "Show one rule with its source.",
        parameters=(_parameter("id", "The id of the rule.", _WORD, "path"),),
        errors=(404,),
    ),
    _shows(
        "/v1/schemas/{name}",
        "Show one JSON Schema.",
        parameters=(_parameter("name", "The name of the schema.", _WORD, "path"),),
        errors=(404,),
    ),
    _shows("/v1/models", "Show what answers."),
    _shows(
        "/v1/audit",
        "Show the audit log.",
        parameters=(
            _parameter("after", "The number of an entry: show those after it.", _COUNT),
            _parameter("limit", "How many entries to show, up to 1,000.", _COUNT),
        ),
        errors=(422,),
    ),
    _shows("/v1/audit/verify", "Check the chain of the audit log."),
    _shows("/metrics", "Show the figures of the service."),
    _shows("/healthz", "Show that the service runs.", is_open=True),
    _shows("/readyz", "Show whether the service is ready.", is_open=True, errors=(503,)),
    _shows("/openapi.json", "Show this document."),
)
"""Every route below `/v1`, and those of the system."""


def published_schemas(kb: KnowledgeBase) -> dict[str, dict[str, Any]]:
    """Return each JSON Schema of the service, by name."""
    schemas = {name: codec.json_schema for name, codec in CODECS.items()}
    schemas[TRIAGE.name] = triage_codec(kb.scoring.components).json_schema
    for name, kind in (
        ("run", Line),
        ("verdict", Verdict),
        ("clock", ClockLine),
        ("problem", ProblemDocument),
    ):
        schemas[name] = schema_of(name, kind, (), {})
    return schemas


def openapi_document(kb: KnowledgeBase) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    components: dict[str, Any] = {}
    for name, schema in published_schemas(kb).items():
        components |= _component(name, schema)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "finops",
            "version": __version__,
            "summary": "Triage and resolution of US settlement fails, every answer checked.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _component(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema and its definitions as components with names of their own."""
    text = json.dumps(schema).replace('"#/$defs/', f'"{_PREFIX}{name}.')
    moved: dict[str, Any] = json.loads(text)
    definitions = moved.pop("$defs", {})
    for key in ("$schema", "$id"):
        moved.pop(key, None)
    return {name: moved} | {f"{name}.{title}": value for title, value in definitions.items()}


def _operation(operation: Operation) -> dict[str, Any]:
    statuses = operation.errors if operation.is_open else (
        *operation.errors, 401, 403, 421, 429, 503)  # fmt: skip
    problem = {"content": {MEDIA_TYPE: {"schema": _reference("problem")}}}
    answer = _ANY if operation.gives is None else _one_or_many(_reference(operation.gives))
    content: dict[str, Any] = {_JSON: {"schema": answer}}
    if operation.streams:
        content[_LINES] = {"schema": {"type": "string"}}
    document: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method}{operation.path.replace('/', '_')}",
        "parameters": list(operation.parameters),
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{str(status): {"description": "A problem.", **problem} for status in statuses},
        },
    }
    if operation.method == "post":
        taken = _ANY if operation.takes is None else _reference(operation.takes)
        bodies: dict[str, Any] = {_JSON: {"schema": _one_or_many(taken)}}
        if operation.streams:
            bodies[_LINES] = {"schema": {"type": "string"}}
        document["requestBody"] = {"required": True, "content": bodies}
    if operation.is_open:
        document["security"] = []
    return document


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"{_PREFIX}{name}"}


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def encode_document(document: dict[str, Any]) -> bytes:
    """Encode the document as JSON."""
    return msgspec.json.encode(document)
