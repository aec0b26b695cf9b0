"""Who sends a request: the owner of a token in a header, or of the session of a browser."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.types import Scope

from finops_cli.errors import UsageError
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.auth.roles import RIGHTS, Right
from finops_cli.service.auth.sessions import Sessions
from finops_cli.service.auth.tokens import Now, TokenOwner, digest_of, find_owner
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import RequestHeaders
from finops_cli.service.store.database import DatabaseLost

_SCHEME = b"bearer "
_MINUTE = timedelta(minutes=1)


def bearer_token(headers: RequestHeaders) -> str | None:
    """Return the token of the header Authorization; None without one."""
    header = headers.raw.get(b"authorization", b"")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return header[len(_SCHEME) :].decode("latin-1").strip()


def address_of(scope: Scope) -> str:
    """Return the address of the client; empty for a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


class TokenSource(Protocol):
    """The owners of tokens."""

    async def owners(self) -> list[TokenOwner]: ...


class Access:
    """Knows tokens and sessions, and counts wrong tokens by address."""

    def __init__(
        self,
        tokens: TokenSource,
        sessions: Sessions,
        settings: ServeSettings,
        now: Now,
        is_secure: bool,
    ) -> None:
        """Keep the parts. `is_secure`: browsers reach the service by TLS."""
        self._tokens = tokens
        self._settings = settings
        self._now = now
        self._sessions = sessions
        self._failures: dict[str, deque[datetime]] = {}
        self.is_secure = is_secure
        self.cookie = "__Host-finops" if is_secure else "finops"

    @property
    def session_seconds(self) -> int:
        """Return how long a session lasts."""
        return self._settings.times["session"]

    async def has_tokens(self) -> bool:
        """Return true if the tokens can be read; while they cannot, nobody gets in."""
        try:
            await self._owners()
        except ServiceError:
            return False
        except DatabaseLost:  # readiness names the database by itself
            return True
        return True

    async def _owners(self) -> list[TokenOwner]:
        """Return the owners of tokens. Raises ServiceError 503 for a file that is gone or damaged.

        Nobody gets in by what the file said before: a token may have been taken out of it.
        """
        try:
            return await self._tokens.owners()
        except (UsageError, OSError) as error:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-ready",
                "the service cannot read its file of tokens; it counts again as soon as whoever"
                " runs the service has mended it",
                retry_after=self._settings.times["busy"],
            ) from error

    async def names_with(self, right: Right) -> list[str]:
        """Return the owners of valid tokens that have a right, by name."""
        now = self._now()
        return sorted(
            {
                owner.name
                for owner in await self._owners()
                if right in RIGHTS[owner.role] and owner.is_valid(now)
            }
        )

    async def owner_of_cookie(self, connection: HTTPConnection) -> tuple[TokenOwner, str]:
        """Return the owner of the session of a browser, and the session.

        Raises ServiceError 401 without a valid one, 503 while the file of tokens cannot be read;
        DatabaseLost.
        """
        session = connection.cookies.get(self.cookie)
        owner = None if session is None else await self._owner_of_session(session)
        if session is None or owner is None:
            raise _unknown("no token")
        return owner, session

    async def owner_of_token(self, token: str, address: str) -> TokenOwner:
        """Return the owner of `token`.

        Raises ServiceError 401, 429 after too many wrong ones, and 503 while the file of tokens
        cannot be read.
        """
        owner = find_owner(await self._owners(), token, self._now())
        if owner is not None:  # also where others at this address, such as 127.0.0.1, were wrong
            return owner
        failures = self._recent_failures(address)
        if len(failures) >= self._settings.limits["failed_logins"]:
            raise ServiceError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-many-wrong-tokens",
                "too many wrong tokens came from this address",
                retry_after=int(_MINUTE.total_seconds()),
            )
        failures.append(self._now())
        self._failures[address] = failures
        raise _unknown("the token is wrong or has expired")

    async def begin_session(self, token: str) -> str:
        """Begin a session of the browser that gave `token`, and return its secret name."""
        until = self._now() + timedelta(seconds=self._settings.times["session"])
        return await self._sessions.begin(digest_of(token), until)

    async def end_session(self, name: str) -> None:
        """End a session."""
        await self._sessions.end(name)

    async def _owner_of_session(self, name: str) -> TokenOwner | None:
        session, now = await self._sessions.find(name), self._now()
        if session is None:
            return None
        for owner in await self._owners():
            if owner.sha256 == session.token and owner.is_valid(now):
                return owner
        return None

    def _recent_failures(self, address: str) -> deque[datetime]:
        now = self._now()
        failures = self._failures.pop(address, deque())
        while failures and not now - _MINUTE < failures[0] <= now:  # a clock may be set back
            failures.popleft()
        if failures:
            self._failures[address] = failures
        return failures


def _unknown(what: str) -> ServiceError:
    return ServiceError(
        HTTPStatus.UNAUTHORIZED,
        "token",
        f"{what}; accepted: Authorization: Bearer TOKEN, with a token of `finops token new`",
        headers={"WWW-Authenticate": 'Bearer realm="finops"'},
    )


OnDenied = Callable[[HTTPConnection, ServiceError], None]
"""Called for each request without a valid token or without the right."""
