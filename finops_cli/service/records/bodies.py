"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.service.problems import ServiceError

T = TypeVar("T")
JSON = "application/json"
JSON_LINES = frozenset({"application/jsonl", "application/x-ndjson"})


def media_type_of(headers: Mapping[str, str]) -> str:
    """Return the Content-Type without its parameters, in lower case.

    Raises ServiceError 415 for a packed body.
    """
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            f"Content-Encoding is {encoding}; accepted: a body that is not packed",
        )
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_media_type(given: str, accepted: str) -> ServiceError:
    """Return the error for a Content-Type that a path does not take."""
    return ServiceError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        f"Content-Type is {given or 'missing'}; accepted: {accepted}",
    )


def too_large(limit: int, cure: str) -> ServiceError:
    """Return the error for a body above `limit` bytes; `cure` says how to send it instead."""
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        f"the body is larger than {limit:,} bytes; {cure}",
    )


def refuse_announced(headers: Mapping[str, str], limit: int, cure: str) -> None:
    """Raise ServiceError 413 for a Content-Length above `limit` bytes."""
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large(limit, cure)


async def read_object(request: Request, kind: type[T], limit: int) -> tuple[T, bytes]:
    """Return a JSON body as an object of `kind`, and its bytes.

    Raises ServiceError 400, 413, 415, and 422 for an object of another shape.
    """
    media_type = media_type_of(request.headers)
    if media_type != JSON:
        raise refuse_media_type(media_type, JSON)
    body = await read_body(request.receive, request.headers, limit, "send less")
    try:
        return msgspec.json.decode(body, type=kind), body
    except msgspec.ValidationError as error:
        raise ServiceError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "wrong-value", f"the body has another shape: {error}"
        ) from error
    except UNREADABLE as error:
        raise ServiceError(
            HTTPStatus.BAD_REQUEST, "not-json", f"the body is not JSON: {error}"
        ) from error


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int, cure: str) -> bytes:
    """Return the whole body. Raises ServiceError 413 above `limit` bytes."""
    refuse_announced(headers, limit, cure)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit, cure)
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)
