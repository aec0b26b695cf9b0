"""The sessions of browsers: the digest of the secret name of each, and of the token behind it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from finops_cli.service.store.database import Connection


class Session(NamedTuple):
    """A session. It ends with the token that it began with."""

    token: str
    """The SHA-256 of the token."""
    until: datetime


def keep_session(connection: Connection, sha256: str, session: Session, now: datetime) -> None:
    """Keep a new session, and forget those that are over."""
    connection.execute("DELETE FROM sessions WHERE until <= ?", (now.isoformat(),))
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?)",
        (sha256, session.token, session.until.isoformat()),
    )


def find_session(connection: Connection, sha256: str) -> Session | None:
    """Return a session by the digest of its name."""
    row = connection.execute("SELECT * FROM sessions WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else Session(row["token"], datetime.fromisoformat(row["until"]))


def forget_session(connection: Connection, sha256: str) -> None:
    """Forget a session."""
    connection.execute("DELETE FROM sessions WHERE sha256 = ?", (sha256,))
