"""Errors for whoever asked: a page for a browser that wants one, else a problem document."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from finops_cli.service.desk.forms import local_path
from finops_cli.service.desk.reference.problem_texts import PROBLEMS
from finops_cli.service.desk.rendering import render
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import facts_of

_PROGRAM_PATHS = ("/v1/", "/metrics", "/openapi.json", "/healthz", "/readyz")
SIGN_IN = "/sign-in"
_FOLDERS = ("fails", "upload", "jobs")
"""The forms below these stand on the page of one fail, file or job."""
_PAGES = {"fails": "/fails", "views": "/fails", "upload": "/upload", "monitor": "/monitor"}


def wants_page(connection: HTTPConnection) -> bool:
    """Return true for a browser that asks for a page of the desk."""
    is_page = not connection.scope["path"].startswith(_PROGRAM_PATHS)
    return is_page and "text/html" in connection.headers.get("accept", "")


def answer_error(connection: HTTPConnection, error: ServiceError) -> Response:
    """Return the answer to a request that ends with `error`."""
    if not wants_page(connection):
        return error.response(connection.url.path, facts_of(connection).request_id)
    if error.status == HTTPStatus.UNAUTHORIZED and connection.url.path != SIGN_IN:
        return _ask_for_token(connection)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    known = PROBLEMS.get(error.name)
    answer = render(connection, "error.html", status=int(error.status), error=error, known=known)
    answer.headers.update(error.headers | headers)
    return answer


def _page_of_form(path: str) -> str:
    """Return the page that a form stands on, by the path that it is sent to."""
    folder, _, rest = path.removeprefix("/").partition("/")
    if folder in _FOLDERS and "/" in rest:
        return f"/{folder}/{rest.partition('/')[0]}"
    return _PAGES.get(folder, "/")


def _ask_for_token(connection: HTTPConnection) -> Response:
    """Send a browser to the form that takes its token.

    A link on another site does not carry the cookie (SameSite=Strict). Such a request gets a page
    that asks again by itself: that second request is our own, and has the cookie.
    """
    here = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    is_form = connection.scope["method"] not in ("GET", "HEAD")
    here = local_path(_page_of_form(connection.url.path) if is_form else here)
    target = f"{SIGN_IN}?next={quote(here, safe='/')}" + ("&said=not-stored" if is_form else "")
    if connection.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": target})
    if connection.headers.get("sec-fetch-site") == "cross-site":
        return render(connection, "continue.html", target=here)
    return RedirectResponse(target, 303)
