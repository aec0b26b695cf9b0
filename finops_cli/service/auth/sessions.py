"""The sessions of browsers, in the database: they outlive a restart, and hold on every replica."""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import partial
from typing import NamedTuple

from finops_cli.service.auth.tokens import KNOWN_SECONDS, Now, digest_of
from finops_cli.service.store.database import Database
from finops_cli.service.store.sessions import Session, find_session, forget_session, keep_session

_MOST_KNOWN = 10_000


class _Known(NamedTuple):
    session: Session | None
    at: datetime


class Sessions:
    """The sessions of all browsers, each by its secret name."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database, self._now = database, now
        self._known: dict[str, _Known] = {}

    async def begin(self, token: str, until: datetime) -> str:
        """Begin a session with the token of that digest, and return its secret name."""
        name = secrets.token_urlsafe(32)
        session, now = Session(token, until), self._now()
        await self._database.write(lambda db: keep_session(db, digest_of(name), session, now))
        return name

    async def find(self, name: str) -> Session | None:
        """Return a session that is not over. Raises DatabaseLost."""
        digest, now = digest_of(name), self._now()
        known = self._known.get(digest)
        if known is None or not 0 <= (now - known.at).total_seconds() <= KNOWN_SECONDS:
            found = await self._database.read(partial(find_session, sha256=digest))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[digest] = _Known(found, now)
        session = known.session
        return None if session is None or session.until <= now else session

    async def end(self, name: str) -> None:
        """End a session."""
        digest = digest_of(name)
        await self._database.write(partial(forget_session, sha256=digest))
        self._known[digest] = _Known(None, self._now())
