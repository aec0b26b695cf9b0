"""The forms that decide about a fail: plain forms, which work without scripts."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.domain import exact_json
from finops_cli.rules.ledger import Ledger
from finops_cli.service.desk.fail.decision_form import TypedForm, ask_decision, read_typed_form
from finops_cli.service.desk.fail_page import FailPages, Found, read_page
from finops_cli.service.desk.forms import Form, read_form
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.deciding import (
    DecisionRequest,
    erase_decision,
    read_content,
    record_decision,
)
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import actor_of, facts_of
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.answers import KeptAnswer
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import (
    Content,
    Decision,
    State,
    list_decisions,
    read_earlier_state,
    read_state,
)

_MOST_BYTES = 256 * 1024
_SHOWN_AGAIN = ("wrong-value", "broken-rules")
"""The problems after which the page is shown again with what was typed."""


class Conflict(Struct, frozen=True, kw_only=True):
    """A fail that somebody decided about in the meantime."""

    seen: State
    """The decision at the time when the person looked at it."""
    present: State
    meanwhile: list[Decision]
    """The decisions since then."""


class DecidePages:
    """Answers `/fails/{id}/decide`."""

    def __init__(self, pages: FailPages) -> None:
        self._pages = pages
        self._parts = pages.parts

    async def decide(self, request: Request) -> Response:
        """Store a decision, or show the fail again with what is wrong. Raises ServiceError."""
        require_right(request, "answer")
        form = await read_form(request, _MOST_BYTES)
        typed = read_typed_form(form)
        found = await self._pages.find(request.path_params["id"])
        try:
            asked, content = await self._read(typed, found)
            await self._store(request, form, found, asked, content)
        except ServiceError as error:
            if error.status == HTTPStatus.CONFLICT or _is_stale(typed, found):
                return await self._show_conflict(request, found, typed, error)
            if error.name not in _SHOWN_AGAIN:
                raise
            return await self._pages.show(
                request,
                found,
                status=int(error.status),
                typed=typed,
                problem=str(error),
                broken=error.problems,
            )
        return RedirectResponse(f"/fails/{found.row.id}?said=decided-{typed.kind}#decide", 303)

    async def delete(self, request: Request) -> Response:
        """Delete a decision for good. Raises ServiceError 403 and 404."""
        require_right(request, "administer")
        id, n = request.path_params["id"], request.path_params["n"]
        actor, at = actor_of(request), self._parts.now()
        await self._parts.database.write(lambda db: erase_decision(db, id, n, actor, at))
        return RedirectResponse(f"/fails/{id}?said=decision-deleted#decisions", 303)

    async def _read(self, typed: TypedForm, found: Found) -> tuple[DecisionRequest, Content]:
        """Return the decision that was asked for, and its words without personal data."""
        page = read_page(self._parts.data, found, self._pages.kb)
        plan = None if page.line is None else page.line.resolution
        owed = 1 if page.coverage is None else page.coverage.owed
        ledger = Ledger(owed, self._pages.kb.waterfall.coverage_decimals)
        asked = ask_decision(typed, plan, ledger)
        line = page.source.raw
        if asked.kind == "override" and line is None:
            raise ServiceError(
                HTTPStatus.CONFLICT, "no-output", f"the output of {found.row.job} is gone"
            )
        redaction = self._parts.answering.redaction
        return asked, read_content(asked, line or b"", self._parts.rules, redaction)

    async def _store(
        self,
        request: Request,
        form: Form,
        found: Found,
        asked: DecisionRequest,
        content: Content,
    ) -> None:
        """Store a decision once, however often its form is sent."""
        actor, at = actor_of(request), self._parts.now()

        def work(connection: Connection) -> KeptAnswer:
            answer = record_decision(
                connection,
                found.row,
                asked,
                content,
                actor,
                at=at,
                four_eyes=self._parts.four_eyes,
            )
            return KeptAnswer(201, {}, exact_json.encode(answer))

        claim = form.claim(facts_of(request).name, found.row.id)
        await self._parts.idempotency.answer(claim, work)

    async def _show_conflict(
        self, request: Request, found: Found, typed: TypedForm, error: ServiceError
    ) -> Response:
        """Show both versions beside each other, and what the person typed."""
        key, version = found.row.key, typed.version or 0

        def look(connection: Connection) -> Conflict:
            return Conflict(
                seen=read_earlier_state(connection, key, version),
                present=read_state(connection, key),
                meanwhile=[each for each in list_decisions(connection, key) if each.n > version],
            )

        conflict = await self._parts.database.read(look)
        found = await self._pages.find(found.row.id)
        page = read_page(self._parts.data, found, self._pages.kb)
        return render(
            request,
            "conflict.html",
            status=int(HTTPStatus.CONFLICT),
            page=page,
            forms=self._pages.make_forms(request, page, typed),
            people=await self._pages.list_people(found),
            conflict=conflict,
            problem="" if conflict.meanwhile else str(error),
        )


def _is_stale(typed: TypedForm, found: Found) -> bool:
    """Return true if somebody decided since the page was shown: what is wrong then comes second."""
    return typed.version is not None and typed.version != found.sources.fail.state.version


def list_decide_routes(pages: FailPages) -> list[NamedRoute]:
    """Return the routes of the forms."""
    decide = DecidePages(pages)
    return [
        NamedRoute("/fails/{id}/decide", decide.decide, methods=["POST"]),
        NamedRoute("/fails/{id}/decisions/{n}/delete", decide.delete, methods=["POST"]),
    ]
