"""The routes that show the audit log, and the record of what the service refuses."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.audit_log.chain import Chain
from finops_cli.service.audit_log.refusals import Refusals, Tally
from finops_cli.service.auth.tokens import Now
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.log import route_template
from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.records.bodies import JSON
from finops_cli.service.requests import facts_of
from finops_cli.service.store.audit import (
    SERVICE,
    Actor,
    BrokenChain,
    append,
    read_entries,
)
from finops_cli.service.store.database import Connection, Database, DatabaseLost

_MOST = 1_000
_DEFAULT = 100
_MOST_DIGITS = 15


class AuditLog:
    """Writes and shows the audit log."""

    def __init__(self, database: Database, now: Now, settings: ServeSettings) -> None:
        """Keep the parts. The settings bound the entries of people without a token."""
        self._database = database
        self._now = now
        self._refusals = Refusals(settings.limits["failed_logins"])
        self.chain = Chain(database)

    def note(self, action: str, details: dict[str, str]) -> None:
        """Record what the service itself does, such as its start."""
        at = self._now()
        self._database.write_now(
            lambda connection: append(connection, at, SERVICE, action, "", details)
        )

    async def denied(self, connection: HTTPConnection, error: ServiceError) -> None:
        """Record a request without a valid token, without the right, or of another page.

        Many of unknown people at one address are counted, and get one entry a minute. Raises
        DatabaseLost.
        """
        facts, at = facts_of(connection), self._now()
        actor = Actor(facts.name, facts.role or "", facts.request_id)
        address = connection.client.host if connection.client else ""
        if not facts.name:
            await self.write_counts(at)
            if not self._refusals.has_room(address, error.name, at):
                return
        details = {"status": int(error.status), "problem": error.name, "address": address}
        template = route_template(connection.scope)
        await self._database.write(
            lambda database: append(database, at, actor, "denied", template, details)
        )

    async def write_counts(self, at: datetime | None) -> None:
        """Write an entry for each count whose minute is over; None: for every count.

        Raises DatabaseLost; the counts are then kept.
        """
        ended = self._refusals.take_ended(at)
        if not ended:
            return
        try:
            await self._database.write(
                lambda database: _append_counts(database, ended, self._now())
            )
        except DatabaseLost:
            self._refusals.give_back(ended)
            raise

    async def entries(self, request: Request) -> Response:
        """Return entries in their order, after the entry `after`. Raises ServiceError 422."""
        require_right(request, "audit")
        after, limit = _whole(request, "after", 0), _whole(request, "limit", _DEFAULT)
        at_most = min(limit, _MOST)
        found = await self._database.read(lambda database: read_entries(database, after, at_most))
        return Response(exact_json.encode(found), media_type=JSON)

    async def verification(self, request: Request) -> Response:
        """Say whether the chain of entries is unbroken, else which entry does not fit."""
        require_right(request, "audit")
        found = await self.chain.verify()
        answer = (
            {"ok": False, "seq": found.seq, "reason": found.reason}
            if isinstance(found, BrokenChain)
            else {"ok": True, "entries": found}
        )
        return Response(exact_json.encode(answer), media_type=JSON)


def _append_counts(connection: Connection, ended: list[Tally], at: datetime) -> None:
    for tally in ended:
        append(connection, at, Actor("", "", ""), "denied", "", tally.details())


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise wrong_value(name, text, "a whole number")
    return int(text)
