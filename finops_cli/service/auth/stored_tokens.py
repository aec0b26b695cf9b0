"""Tokens in the database, where replicas share them: the digest of each, never a token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from finops_cli.errors import UsageError
from finops_cli.service.auth.roles import ROLES
from finops_cli.service.auth.tokens import KNOWN_SECONDS, Now, TokenOwner, name_key
from finops_cli.service.store.audit import Actor, append
from finops_cli.service.store.database import Connection, Database, DatabaseLost, Row

_PATIENCE = 2
"""Seconds that a request waits for the tokens: every request needs them."""


class StoredTokens:
    """The owners in the database, as they were `KNOWN_SECONDS` ago or later."""

    def __init__(self, database: Database, now: Now) -> None:
        """Keep the parts. Raises UsageError for a database without tokens; DatabaseLost."""
        self._database, self._now = database, now
        self._owners: list[TokenOwner] = []
        self._at: datetime | None = None
        self._reading: asyncio.Task[tuple[datetime, list[TokenOwner]]] | None = None
        """One read for all requests: they would fill the threads of a database that hangs."""
        if not database.write_now(list_owners):
            raise UsageError(
                "--store: the database has no tokens, so nobody could use the service",
                "make one with `finops token new --name NAME --role ROLE --store ADDRESS`",
            )

    async def owners(self) -> list[TokenOwner]:
        """Return the owners. Raises DatabaseLost: nobody enters by what may have been revoked."""
        now = self._now()
        if self._at is None or not 0 <= (now - self._at).total_seconds() <= KNOWN_SECONDS:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(now))
                self._reading.add_done_callback(_take_note)
            try:
                async with asyncio.timeout(_PATIENCE):
                    self._at, self._owners = await asyncio.shield(self._reading)
            except TimeoutError:
                raise DatabaseLost(
                    "the database of the tokens does not answer; nobody gets in meanwhile",
                    "send the request again",
                ) from None
        return self._owners

    async def _read(self, now: datetime) -> tuple[datetime, list[TokenOwner]]:
        return now, await self._database.read(list_owners)


def _take_note(task: asyncio.Task[tuple[datetime, list[TokenOwner]]]) -> None:
    """Look at the fault of a read for which no request waits any more."""
    if not task.cancelled():
        task.exception()


class Imported(NamedTuple):
    """The names of a file of tokens, by what became of them."""

    added: list[str]
    known: list[str]
    """They were in the database already, and are unchanged."""


def list_owners(connection: Connection) -> list[TokenOwner]:
    """Return the owner of each token, by name."""
    rows = connection.execute("SELECT * FROM tokens ORDER BY name")
    return [_owner_of(row) for row in rows]


def _owner_of(row: Row) -> TokenOwner:
    role = next(each for each in ROLES if each == row["role"])
    expires = None if row["expires"] is None else datetime.fromisoformat(row["expires"])
    return TokenOwner(
        name=row["name"], role=role, sha256=row["sha256"], expires=expires, person=row["person"]
    )


def add_owner(connection: Connection, owner: TokenOwner, actor: Actor, at: datetime) -> None:
    """Add a token; the audit log gets an entry. Raises UsageError for a name that is taken."""
    taken = _find_like(connection, owner.name)
    if taken is not None:
        raise UsageError(
            f"--name {owner.name}: the database has the name {taken.name} already",
            f"choose another name, or `finops token revoke {quote(taken.name)}` first",
        )
    _insert(connection, owner, actor, at)


def import_owners(
    connection: Connection, owners: Iterable[TokenOwner], actor: Actor, at: datetime
) -> Imported:
    """Add the tokens of a file that the database does not have, all of them or none.

    Raises UsageError for a name that another token of the database has.
    """
    added, known = [], []
    for owner in owners:
        found = _find_like(connection, owner.name)
        if found is None:
            _insert(connection, owner, actor, at)
            added.append(owner.name)
        elif found.sha256 == owner.sha256:
            known.append(owner.name)
        else:
            raise UsageError(
                f"token {owner.name}: the database has another token of the name {found.name}."
                " Expected a new name, or the same token.",
                f"`finops token revoke {quote(found.name)}` first, or take the entry out of the"
                " file",
            )
    return Imported(added, known)


def revoke(connection: Connection, name: str, actor: Actor, at: datetime) -> None:
    """Delete a token, and with it its sessions; the audit log gets an entry.

    Raises UsageError for a name without a token.
    """
    found = _find(connection, name)
    if found is None:
        raise UsageError(
            f"token {name}: the database has no token of this name",
            "`finops token list` shows the names",
        )
    connection.execute("DELETE FROM tokens WHERE name = ?", (name,))
    connection.execute("DELETE FROM sessions WHERE token = ?", (found.sha256,))
    append(connection, at, actor, "revoke-token", name, {"role": found.role})


def _find(connection: Connection, name: str) -> TokenOwner | None:
    row = connection.execute("SELECT * FROM tokens WHERE name = ?", (name,)).fetchone()
    return None if row is None else _owner_of(row)


def _find_like(connection: Connection, name: str) -> TokenOwner | None:
    """Return the owner whose name differs from `name` by case or blanks at most."""
    key = name_key(name)
    return next((each for each in list_owners(connection) if name_key(each.name) == key), None)


def _insert(connection: Connection, owner: TokenOwner, actor: Actor, at: datetime) -> None:
    expires = None if owner.expires is None else owner.expires.isoformat()
    connection.execute(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
        (owner.name, owner.role, owner.sha256, expires, at.isoformat(), owner.person),
    )
    details: dict[str, str] = {"role": owner.role}
    if owner.person is not None:
        details["person"] = owner.person
    append(connection, at, actor, "add-token", owner.name, details)
