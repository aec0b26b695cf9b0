"""Actions on several fails of the queue at once, and the views that people keep."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.redaction import RedactionPolicy
from finops_cli.service.desk.forms import Form, local_path, read_form
from finops_cli.service.desk.queue_filter import QUEUE, address, filter_pairs
from finops_cli.service.desk.queue_page import read_asked
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.deciding import DecisionRequest, make_decision, read_content
from finops_cli.service.fails.views import locate_fail
from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.requests import actor_of, facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.audit import Actor, append
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import Content, read_state
from finops_cli.service.store.saved_views import SavedView, delete_view, save_view
from finops_cli.views.wording import clean

_MOST_VIEWS, _MOST_NAME = 100, 60
_DONE = {"accept": "accepted", "assign": "assigned"}
"""The notice of the page after a complete success."""
_WAITS = "an override waits for a second person; open the fail to accept or decline it"


class Selected(Struct, frozen=True):
    """A fail of the form, and the version of it that its page showed."""

    id: str
    version: int


class Refusal(Struct, frozen=True):
    """A fail that stayed as it was, and why."""

    id: str
    fail_id: str
    reason: str


class Outcome(Struct, frozen=True, kw_only=True):
    """The result for the selected fails."""

    done: int
    refused: list[Refusal]


def read_selection(form: Form, at_most: int) -> list[Selected]:
    """Read the fails that a form selects. Raises ServiceError 422."""
    given = form.texts("fail")
    if not 1 <= len(given) <= at_most:
        raise wrong_value("the selection", f"{len(given):,} fails", f"1 to {at_most:,}")
    found = []
    for text in given:
        id, colon, version = text.rpartition(":")
        if not colon or not (version.isascii() and version.isdigit() and len(version) < 10):
            raise wrong_value("fail", text[:80], "the id of a fail, a colon and its version")
        found.append(Selected(id, int(version)))
    return found


def read_request(form: Form) -> DecisionRequest:
    """Read what is to be done with the fails. Raises ServiceError 422."""
    match form.text("do"):
        case "accept":
            return DecisionRequest(kind="accept")
        case "assign":
            return DecisionRequest(kind="assign", assignee=form.text("assignee") or None)
        case other:
            raise wrong_value("do", other[:80], ", ".join(_DONE))


def decide_selected(
    connection: Connection,
    selected: list[Selected],
    asked: DecisionRequest,
    content: Content,
    actor: Actor,
    at: datetime,
) -> Outcome:
    """Decide about each fail that is still as its page showed it; the others stay as they are."""
    done, refused = 0, []
    for each in selected:
        try:
            row = locate_fail(connection, each.id)
            if asked.kind == "accept" and read_state(connection, row.key).has_proposal:
                refused.append(Refusal(row.id, row.answer.fail_id, _WAITS))
                continue
            request = DecisionRequest(
                kind=asked.kind, assignee=asked.assignee, expected_version=each.version
            )
            _, details = make_decision(
                connection, row, request, content, actor, at=at.isoformat(), four_eyes=False
            )
        except ServiceError as error:
            refused.append(Refusal(each.id, each.id, str(error)))
            continue
        append(connection, at, actor, "decision", row.id, details)
        done += 1
    return Outcome(done=done, refused=refused)


def read_view(form: Form, redaction: RedactionPolicy | None, kb: KnowledgeBase) -> SavedView:
    """Read a view that is to be kept. Raises ServiceError 422.

    Its name is masked as any text that is stored; a filter for personal data is not kept.
    """
    name = clean(form.text("name"))
    if not 1 <= len(name) <= _MOST_NAME:
        raise wrong_value("the name", f"{len(name)} characters", f"1 to {_MOST_NAME}")
    query = QueryParams(parse_qsl(form.text("query")))
    asked = read_asked(query, kb.serve)
    pairs = filter_pairs(asked.query)
    if redaction is not None:
        name = redaction.text(name)[0]
        masked = [key for key, value in pairs if redaction.text(value)[0] != value]
        if masked:
            raise wrong_value(masked[0], "personal data", "a filter that may be stored")
    return SavedView(name, address(pairs, "").removeprefix("?"))


class QueueActions:
    """Answers the forms of the queue."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def decide(self, request: Request) -> Response:
        """Accept or assign the selected fails."""
        require_right(request, "answer")
        parts, form = self._parts, await read_form(request)
        selected = read_selection(form, parts.answering.kb.serve.limits["page"])
        asked = read_request(form)
        content = read_content(asked, b"", parts.rules, parts.answering.redaction)
        actor, at = actor_of(request), parts.now()
        outcome = await parts.database.write(
            lambda db: decide_selected(db, selected, asked, content, actor, at)
        )
        back = local_path(form.text("back"), QUEUE)
        if not outcome.refused:
            return RedirectResponse(_with_notice(back, _DONE[asked.kind]), 303)
        return render(
            request,
            "selected.html",
            status=int(HTTPStatus.CONFLICT),
            outcome=outcome,
            kind=asked.kind,
            back=back,
        )

    async def save(self, request: Request) -> Response:
        """Keep a view under a name."""
        require_right(request, "see")
        parts, form = self._parts, await read_form(request)
        view = read_view(form, parts.answering.redaction, parts.answering.kb)
        who = facts_of(request).name
        if not await parts.database.write(lambda db: save_view(db, who, view, _MOST_VIEWS)):
            raise wrong_value("the view", "one too many", f"up to {_MOST_VIEWS} views")
        return RedirectResponse(_with_notice(f"{QUEUE}?{view.query}", "view-saved"), 303)

    async def delete(self, request: Request) -> Response:
        """Delete a view."""
        require_right(request, "see")
        form = await read_form(request)
        who, name = facts_of(request).name, form.text("name")
        await self._parts.database.write(lambda db: delete_view(db, who, name))
        return RedirectResponse(
            _with_notice(local_path(form.text("back"), QUEUE), "view-deleted"), 303
        )


def list_action_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the forms."""
    actions = QueueActions(parts)
    return [
        NamedRoute("/fails/selected", actions.decide, methods=["POST"]),
        NamedRoute("/views", actions.save, methods=["POST"]),
        NamedRoute("/views/delete", actions.delete, methods=["POST"]),
    ]


def _with_notice(path: str, notice: str) -> str:
    base, _, query = path.partition("?")
    pairs = [pair for pair in parse_qsl(query) if pair[0] != "said"]
    return address(pairs, base, said=notice)
