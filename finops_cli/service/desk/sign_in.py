"""The door for people: a token once, then a session. And the colours of the pages."""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from finops_cli.service.auth.access import Access
from finops_cli.service.auth.tokens import TokenOwner
from finops_cli.service.desk.error_page import SIGN_IN
from finops_cli.service.desk.forms import local_path, read_form
from finops_cli.service.desk.rendering import KEYS_COOKIE, THEME_COOKIE, THEMES, render
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute, shared_route
from finops_cli.service.store.audit import Actor, append

_MOST_BYTES = 4_096
_YEAR = 365 * 24 * 3600
_TOKEN = "token"  # noqa: S105 - the name of a field
_FOREIGN = frozenset({"cross-site", "same-site"})


class SignInPages:
    """Answers `/sign-in`, `/sign-out`, and what a browser keeps: `/theme` and `/keys`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def form(self, request: Request) -> Response:
        """Show the form that takes a token."""
        return render(request, "sign_in.html", problem=None, next=_next(request))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session with the token of the form."""
        form = await read_form(request, _MOST_BYTES)
        target = local_path(form.text("next"))
        try:
            return await self._begin(request, form.text(_TOKEN), target)
        except ServiceError as error:
            await self._parts.audit.denied(request, error)
            return render(
                request, "sign_in.html", status=int(error.status), problem=str(error), next=target
            )

    async def start(self, request: Request) -> Response:
        """Begin a session with the token of the start link, which leaves the address bar."""
        if request.headers.get("sec-fetch-site") in _FOREIGN:  # another page may not sign us in
            return RedirectResponse(SIGN_IN, 303)
        try:
            return await self._begin(request, request.query_params[_TOKEN].strip(), "/")
        except ServiceError as error:
            await self._parts.audit.denied(request, error)
            return render(
                request, "sign_in.html", status=int(error.status), problem=str(error), next="/"
            )

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session = facts_of(request).session
        if session is not None:
            await self._parts.access.end_session(session)
        answer = RedirectResponse(f"{SIGN_IN}?said=signed-out", 303)
        answer.delete_cookie(self._parts.access.cookie, secure=self._parts.access.is_secure)
        return answer

    async def theme(self, request: Request) -> Response:
        """Keep the choice of colours in the browser."""
        return await self._keep(request, "theme", THEME_COOKIE, THEMES)

    async def keys(self, request: Request) -> Response:
        """Keep in the browser whether single keys do something."""
        return await self._keep(request, "keys", KEYS_COOKIE, ("off",))

    async def _keep(
        self, request: Request, field: str, cookie: str, values: tuple[str, ...]
    ) -> Response:
        """Keep a choice as a cookie; any other value than `values` takes it away."""
        form = await read_form(request, _MOST_BYTES)
        answer = RedirectResponse(local_path(form.text("back")), 303)
        chosen, is_secure = form.text(field), self._parts.access.is_secure
        if chosen in values:
            answer.set_cookie(
                cookie, chosen, max_age=_YEAR, httponly=True, samesite="strict", secure=is_secure
            )
        else:
            answer.delete_cookie(cookie)
        return answer

    async def _begin(self, request: Request, token: str, target: str) -> Response:
        """Begin a session for the owner of `token`. Raises ServiceError 401 and 429."""
        address = request.client.host if request.client else ""
        owner = await self._parts.access.owner_of_token(token, address)
        await self._record(request, owner)
        answer = RedirectResponse(target, 303)
        await _set_cookie(answer, self._parts.access, token)
        return answer

    async def _record(self, request: HTTPConnection, owner: TokenOwner) -> None:
        actor = Actor(owner.name, owner.role, facts_of(request).request_id)
        at = self._parts.now()
        await self._parts.database.write(lambda db: append(db, at, actor, "login", owner.name, {}))


def has_start_token(request: HTTPConnection) -> bool:
    """Return true for the link that the service prints when it starts."""
    return request.scope["method"] == "GET" and _TOKEN in request.query_params


def list_sign_in_routes(pages: SignInPages) -> list[NamedRoute]:
    """Return the routes of sessions and colours."""
    return [
        shared_route(SIGN_IN, GET=pages.form, POST=pages.sign_in),
        NamedRoute("/sign-out", pages.sign_out, methods=["POST"]),
        NamedRoute("/theme", pages.theme, methods=["POST"]),
        NamedRoute("/keys", pages.keys, methods=["POST"]),
    ]


def _next(request: Request) -> str:
    return local_path(request.query_params.get("next", "/"))


async def _set_cookie(answer: Response, access: Access, token: str) -> None:
    answer.set_cookie(
        access.cookie,
        await access.begin_session(token),
        max_age=access.session_seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=access.is_secure,
    )
