"""Errors of the service as RFC 9457 problem documents (`application/problem+json`)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from finops_cli.domain.finding import Problem as RecordProblem

_DATABASE_SECONDS = 2
"""The wait that is proposed while the database does not answer."""
MEDIA_TYPE = "application/problem+json"


class ProblemDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of an answer with an error."""

    type: str
    """`/problems/NAME`, a page that says what to do."""
    title: str
    status: int
    detail: str
    instance: str = ""
    """The path of the request."""
    request_id: str = ""
    problems: list[RecordProblem] = []
    """The reasons why a record cannot be used."""
    retry_after: int | None = None
    """Seconds."""
    present: dict[str, Any] = {}
    """What stands now, where a decision was about an old version."""


class ServiceError(Exception):
    """Ends a request with a problem document.

    `name` is the last part of its type; `detail` says what is wrong, and what is accepted.
    """

    def __init__(
        self,
        status: HTTPStatus,
        name: str,
        detail: str,
        *,
        problems: list[RecordProblem] | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
        present: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.problems = problems or []
        self.retry_after = retry_after
        self.headers = headers or {}
        self.present = present or {}

    def document(self, path: str = "", request_id: str = "") -> ProblemDocument:
        """Return the body of the answer to the request `request_id` for `path`."""
        return ProblemDocument(
            type=f"/problems/{self.name}",
            title=self.status.phrase,
            status=int(self.status),
            detail=str(self),
            instance=path,
            request_id=request_id,
            problems=self.problems,
            retry_after=self.retry_after,
            present=self.present,
        )

    def response(self, path: str = "", request_id: str = "") -> Response:
        """Return the answer to the request `request_id` for `path`."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        body = msgspec.json.encode(self.document(path, request_id))
        return Response(body, int(self.status), headers, MEDIA_TYPE)


def not_found(what: str) -> ServiceError:
    """Return the error for something that the service does not have."""
    return ServiceError(HTTPStatus.NOT_FOUND, "not-found", f"{what} does not exist")


def wrong_value(name: str, value: str, accepted: str) -> ServiceError:
    """Return the error for a parameter of a request with an unusable value."""
    return ServiceError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "wrong-value",
        f"{name} is {value}; accepted: {accepted}",
    )


def database_lost() -> ServiceError:
    """Return the error while the database does not answer. Its address stays in the messages."""
    return ServiceError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-ready",
        "the database of the service does not answer, or takes no changes; send the request again,"
        " with the same Idempotency-Key if it had one",
        retry_after=_DATABASE_SECONDS,
    )
