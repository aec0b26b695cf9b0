"""Requests that are sent again: the header Idempotency-Key (draft-ietf-httpapi-idempotency-key)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import HTTPConnection
from starlette.responses import Response

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.auth.tokens import Now
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.bodies import JSON
from finops_cli.service.requests import facts_of
from finops_cli.service.store.answers import (
    Claim,
    KeptAnswer,
    OtherContent,
    answer_once,
    find_answer,
)
from finops_cli.service.store.database import Connection, Database

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
_MOST_CHARACTERS = 255


class Idempotency:
    """Keeps the answers of requests with a key, and knows the keys that are in work."""

    def __init__(self, database: Database, settings: ServeSettings, now: Now) -> None:
        self._database = database
        self._settings = settings
        self._now = now
        self._in_work: set[tuple[str, str]] = set()

    @contextmanager
    def claim(self, request: HTTPConnection, sha256: str) -> Iterator[Claim | None]:
        """Hold the key of a request while it is answered; None without a key.

        `sha256` is the digest of the body. Raises ServiceError 409 while another request with the
        key is in work, and 422 for a key that is not one.
        """
        key = read_key(request.headers)
        if key is None:
            yield None
            return
        who = facts_of(request).name
        if (who, key) in self._in_work:
            raise ServiceError(
                HTTPStatus.CONFLICT,
                "in-work",
                f"a request with the {HEADER} {key} is in work; wait for its answer",
                retry_after=self._settings.times["busy"],
            )
        self._in_work.add((who, key))
        try:
            yield Claim(who, key, _digest(request, sha256))
        finally:
            self._in_work.discard((who, key))

    async def find(self, claim: Claim | None) -> KeptAnswer | None:
        """Return the kept answer. Raises ServiceError 422 for a key of another request."""
        if claim is None:
            return None
        try:
            return await self._database.read(lambda connection: find_answer(connection, claim))
        except OtherContent as error:
            raise _other_content(claim) from error

    async def answer(
        self, claim: Claim | None, work: Callable[[Connection], KeptAnswer]
    ) -> KeptAnswer:
        """Do `work` once, in one transaction with its answer. Raises as `find` does."""
        at, seconds = self._now(), self._settings.times["idempotency"]
        try:
            return await self._database.write(
                lambda connection: answer_once(connection, claim, at, seconds, work)
            )
        except OtherContent as error:
            raise _other_content(claim) from error


def respond(answer: KeptAnswer) -> Response:
    """Return an answer, with a header if it is one of an earlier request."""
    replayed = {REPLAYED: "true"} if answer.is_replayed else {}
    headers = {"Content-Type": JSON, **answer.headers, **replayed}
    return Response(answer.body, answer.status, headers)


def digest_body(body: bytes) -> str:
    """Return the digest of a body."""
    return hashlib.sha256(body).hexdigest()


def read_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, or None without the header. Raises ServiceError 422 for a key
    that is empty, too long or not printable.
    """
    key = headers.get(HEADER)
    if key is None:
        return None
    is_printable = key.isascii() and key.isprintable()
    if not key or len(key) > _MOST_CHARACTERS or not is_printable:
        raise ServiceError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "wrong-value",
            f"the header {HEADER} is empty, too long or not printable; accepted: up to"
            f" {_MOST_CHARACTERS} characters of ASCII, such as a UUID",
        )
    return key


def _digest(request: HTTPConnection, sha256: str) -> str:
    scope = request.scope
    named = f"{scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')} {sha256}"
    return hashlib.sha256(named.encode()).hexdigest()


def _other_content(claim: Claim | None) -> ServiceError:
    key = "" if claim is None else claim.key
    return ServiceError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "key-reused",
        f"the {HEADER} {key} belongs to a request with another content; accepted: a new key",
    )
