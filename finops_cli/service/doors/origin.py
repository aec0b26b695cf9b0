"""Refuses requests for another host (DNS rebinding) and unsafe requests of other pages (CSRF)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import facts_in

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = frozenset({"same-origin", "none"})


def allowed_hosts(host: str, port: int, further: tuple[str, ...]) -> frozenset[str]:
    """Return each value of the Host header that the service answers to.

    `further` are the values of --allow-host, with or without a port.
    """
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
    with_port = {f"{name}:{port}" for name in names}
    default = {name for name in names if port in (80, 443)}
    return frozenset(each.lower() for each in (*with_port, *default, *further))


class OriginDoor:
    """Checks the headers Host, Sec-Fetch-Site, Origin and Authorization."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], is_socket: bool = False) -> None:
        """Keep the accepted hosts. `is_socket`: a Unix socket, which has no host."""
        self._app = app
        self._hosts = hosts
        self._is_socket = is_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = facts_in(scope).headers
            self._check_host(headers)
            if scope["method"] not in _SAFE:
                self._check_page(headers)
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if self._is_socket or (len(given) == 1 and given[0].lower() in self._hosts):
            return
        raise ServiceError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "wrong-host",
            f"the header Host is {', '.join(given) or 'missing'}; accepted: the address that the"
            " service was started with, or one given by --allow-host",
        )

    def _check_page(self, headers: Headers) -> None:
        site = headers.get("sec-fetch-site")
        if site is not None:
            is_own = site in _OWN_PAGES
        elif (origin := headers.get("origin")) is not None:
            is_own = origin.partition("://")[2].lower() == headers.get("host", "").lower()
        else:
            is_own = "cookie" not in headers  # no browser; the next door asks for a token
        if not is_own:
            raise ServiceError(
                HTTPStatus.FORBIDDEN,
                "foreign-page",
                "the request comes from another page; accepted: a page of this service, or a"
                " program that sends Authorization and no cookie",
            )
