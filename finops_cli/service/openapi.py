"""The OpenAPI document, made from the types that exist and the table of routes."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from finops_cli.checking.verdicts import Verdict
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.answers import NetAnswer
from finops_cli.pipeline.clock_lines import ClockLine
from finops_cli.pipeline.output import Line
from finops_cli.pipeline.sentiment.output import SentimentLine
from finops_cli.service.alarms.alarms import DriftView
from finops_cli.service.alarms.routes import BaselineRequest
from finops_cli.service.batch.commands import describe_options
from finops_cli.service.batch.routes import JobRequest
from finops_cli.service.contract.rows import LINES, Operation
from finops_cli.service.fails.deciding import DecisionAnswer, DecisionRequest
from finops_cli.service.fails.views import FailDetail, FailHistory, QueueView
from finops_cli.service.net_routes import NetRequest
from finops_cli.service.operations import ALL_OPERATIONS
from finops_cli.service.problems import MEDIA_TYPE, ProblemDocument
from finops_cli.service.records.book import BookRequest
from finops_cli.service.store.audit import AuditEntry
from finops_cli.service.store.files import StoredFile
from finops_cli.service.store.jobs import Job
from finops_cli.service.store.replicas import Replica
from finops_cli.verify.codecs import CODECS, TRIAGE, triage_codec
from finops_cli.verify.schemas import schema_of
from finops_cli.version import __version__


class TextBody(msgspec.Struct):
    """A text to label."""

    text: Any = None
    """Needed, unless the parameter `field` names another field."""
    id: Any = None
    """Its name in the answer."""


_JSON, _ANY, _TEXT = "application/json", {"type": "object"}, {"type": "string"}
_BYTES = "application/octet-stream"
_ITEM = {"description": "As the object; what cannot be used is a rejected line in the answer."}
_PREFIX = "#/components/schemas/"


def published_schemas(kb: KnowledgeBase) -> dict[str, dict[str, Any]]:
    """Return each JSON Schema of the service, by name."""
    schemas = {name: codec.json_schema for name, codec in CODECS.items()}
    schemas["anything"] = {"description": "Any JSON value."}
    schemas[TRIAGE.name] = triage_codec(kb.scoring.components).json_schema
    for name, kind in (
        ("run", Line),
        ("sentiment", SentimentLine),
        ("text", TextBody),
        ("verdict", Verdict),
        ("clock", ClockLine),
        ("book-request", BookRequest),
        ("net", NetAnswer),
        ("net-request", NetRequest),
        ("problem", ProblemDocument),
        ("file", StoredFile),
        ("job", Job),
        ("job-request", JobRequest),
        ("audit-entry", AuditEntry),
        ("replica", Replica),
        ("drift", DriftView),
        ("baseline-request", BaselineRequest),
        ("queue", QueueView),
        ("fail-detail", FailDetail),
        ("fail-history", FailHistory),
        ("decision-request", DecisionRequest),
        ("decision", DecisionAnswer),
    ):
        schemas[name] = schema_of(name, kind, (), {})
    schemas["job-request"]["properties"]["options"] |= describe_options()
    return schemas


def openapi_document(kb: KnowledgeBase) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    components: dict[str, Any] = {}
    for name, schema in published_schemas(kb).items():
        components |= _component(name, schema)
    paths: dict[str, Any] = {}
    for operation in ALL_OPERATIONS:
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
    content = _content_of(operation)
    document: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method}{operation.path.replace('/', '_')}",
        "parameters": list(operation.parameters),
        "responses": {
            str(operation.status): {"description": "The answer.", **content},
            **{str(status): {"description": "A problem.", **problem} for status in statuses},
        },
    }
    if operation.takes_file:
        media: dict[str, Any] = {each: {"schema": {}} for each in (_BYTES, LINES, "text/csv")}
        document["requestBody"] = {"required": False, "content": media}  # a file may be empty
    elif operation.method in ("post", "put") and (
        operation.takes or operation.shape == "one or many"
    ):
        taken = _ANY if operation.takes is None else _reference(operation.takes)
        bodies: dict[str, Any] = {_JSON: {"schema": _shape(operation, taken)}}
        if operation.streams:
            bodies[LINES] = {"schema": _TEXT}
        document["requestBody"] = {"required": True, "content": bodies}
    if operation.is_open:
        document["security"] = []
    return document


def _content_of(operation: Operation) -> dict[str, Any]:
    """Describe the body of an answer."""
    if operation.gives_media == "none":
        return {}
    if operation.gives_media is not None:
        media = operation.gives_media.split(" ")
        return {"content": {each: {"schema": _TEXT} for each in media}}
    given = _ANY if operation.gives is None else _reference(operation.gives)
    shaped = {"type": "array", "items": given} if operation.gives_list else _shape(operation, given)
    content: dict[str, Any] = {_JSON: {"schema": shaped}}
    if operation.streams:
        content[LINES] = {"schema": _TEXT}
    return {"content": content}


def _shape(operation: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object, of a list of them, or of either.

    An element of a list may be anything: one that cannot be used is answered by a rejected line.
    """
    if operation.shape == "object":
        return schema
    if operation.shape == "list":
        return {"type": "array", "items": schema}
    return {"anyOf": [schema, {"type": "array", "items": _ITEM}]}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"{_PREFIX}{name}"}


def encode_document(document: dict[str, Any]) -> bytes:
    """Encode the document as JSON."""
    return msgspec.json.encode(document)
