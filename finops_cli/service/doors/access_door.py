"""Asks each request for a token, except for the few paths that anybody may see."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from finops_cli.service.auth.access import Access, address_of, bearer_token
from finops_cli.service.auth.roles import Right
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import RequestFacts, facts_in, facts_of

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/sign-in"})
"""Paths without a token: whether the service runs, and the form that takes the token."""
START_PATH, _START_FIELD = "/", b"token="
"""The link that the service prints at its start; the page itself reads its token."""
OPEN_FOLDERS = ("/static/", "/problems/")


def is_open(path: str) -> bool:
    """Return true for a path that needs no token."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _is_start(scope: Scope) -> bool:
    is_asked = scope["method"] == "GET" and scope["path"] == START_PATH
    return is_asked and any(
        each.startswith(_START_FIELD) for each in scope["query_string"].split(b"&")
    )


class AccessDoor:
    """Finds the owner of the token and keeps it with the request."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = facts_in(scope)
        facts.is_open = is_open(scope["path"])
        if not (facts.is_open or _is_start(scope)):
            token = bearer_token(facts.headers)
            if token is None:
                owner, facts.session = await self._access.owner_of_cookie(HTTPConnection(scope))
            else:
                owner = await self._access.owner_of_token(token, address_of(scope))
            facts.name, facts.role, facts.person = owner.name, owner.role, owner.person
        await self._app(scope, receive, send)


def require_right(connection: HTTPConnection, right: Right) -> None:
    """Raise ServiceError 403 if the owner of the token lacks `right`."""
    check_right(facts_of(connection), right)


def check_right(facts: RequestFacts, right: Right) -> None:
    """Raise ServiceError 403 if the owner of the token lacks `right`."""
    if not facts.may(right):
        raise ServiceError(
            HTTPStatus.FORBIDDEN,
            "right",
            f"the role {facts.role} may not {right}; ask for a token of another role",
        )
