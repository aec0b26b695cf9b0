"""Refuses requests for another host (DNS rebinding) and unsafe requests of other pages (CSRF)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import RequestHeaders, facts_in

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = frozenset({b"same-origin", b"none"})


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
        self._hosts = frozenset(each.encode("latin-1") for each in hosts)
        self._is_socket = is_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = facts_in(scope).headers
            self._check_host(scope, headers)
            if scope["method"] not in _SAFE:
                self._check_page(headers)
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope, headers: RequestHeaders) -> None:
        host = headers.raw.get(b"host")
        is_known = host is not None and host.lower() in self._hosts
        if self._is_socket or (is_known and not headers.is_repeated):
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if is_known and len(given) == 1:
            return
        raise ServiceError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "wrong-host",
            f"the header Host is {', '.join(given) or 'missing'}; accepted: the address that the"
            " service was started with, or one given by --allow-host",
        )

    def _check_page(self, headers: RequestHeaders) -> None:
        raw = headers.raw
        site = raw.get(b"sec-fetch-site")
        if site is not None:
            is_own = site in _OWN_PAGES
        elif (origin := raw.get(b"origin")) is not None:
            is_own = origin.partition(b"://")[2].lower() == raw.get(b"host", b"").lower()
        else:
            is_own = b"cookie" not in raw  # no browser; the next door asks for a token
        if not is_own:
            raise ServiceError(
                HTTPStatus.FORBIDDEN,
                "foreign-page",
                "the request comes from another page; accepted: a page of this service, or a"
                " program that sends Authorization and no cookie",
            )
