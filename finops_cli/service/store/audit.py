"""The audit log: a chain of entries, each with the hash of the one before it.

Whoever changes or removes an entry breaks the chain behind it. The log shows tampering; it cannot
prevent it: who owns the machine and every copy of the head can write a new chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.service.store.database import Connection, Row

_PART = "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT 1000"
_ESCAPED = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
FIRST = "0" * 64
"""The hash before the first entry."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who did what."""

    seq: int
    at: str
    who: str
    role: str
    action: str
    subject: str
    request_id: str
    details: dict[str, Any]
    prev: str
    hash: str


class Actor(NamedTuple):
    """Who does something, and in which request."""

    who: str
    role: str
    request_id: str
    person: str | None = None
    """The person who holds the token; None: `who` is the person."""


class BrokenChain(NamedTuple):
    """The first entry that does not fit."""

    seq: int
    reason: str


SERVICE = Actor("service", "", "")
"""The service itself, which starts and stops."""


def append(
    connection: Connection,
    at: datetime,
    actor: Actor,
    action: str,
    subject: str,
    details: Mapping[str, Any],
) -> None:
    """Append an entry, in the transaction of what it tells about."""
    last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev = (1, FIRST) if last is None else (last["seq"] + 1, last["hash"])
    told = _canonical(details)
    fields = (seq, at.isoformat(), *actor[:2], action, subject, actor.request_id, told)
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*fields, prev, hash_of(prev, fields)),
    )


def hash_of(prev: str, fields: tuple[Any, ...]) -> str:
    """Return the SHA-256 of an entry and the hash before it, in hexadecimal."""
    return hashlib.sha256((prev + _canonical(fields)).encode()).hexdigest()


def read_entries(connection: Connection, after: int = 0, at_most: int = 100) -> list[AuditEntry]:
    """Return up to `at_most` entries after the entry `after`."""
    rows = connection.execute(
        "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, at_most)
    )
    return [_entry(row) for row in rows]


class EntryFilter(NamedTuple):
    """Which entries are wanted; an empty text takes all."""

    who: str = ""
    action: str = ""
    subject: str = ""
    """The beginning of it."""


def find_entries(
    connection: Connection, wanted: EntryFilter, before: int | None = None, at_most: int = 100
) -> list[AuditEntry]:
    """Return up to `at_most` entries, the newest first; those before the entry `before`."""
    conditions = ["seq < ?"]
    texts: list[Any] = [2**53 if before is None else before]
    for column, value in (("who", wanted.who), ("action", wanted.action)):
        if value:
            conditions.append(f"{column} = ?")
            texts.append(value)
    if wanted.subject:
        conditions.append(r"subject LIKE ? ESCAPE '\'")
        texts.append(wanted.subject.translate(_ESCAPED) + "%")
    query = (
        f"SELECT * FROM audit WHERE {' AND '.join(conditions)}"  # noqa: S608 - no value is in the text
        " ORDER BY seq DESC LIMIT ?"
    )
    return [_entry(row) for row in connection.execute(query, [*texts, at_most])]


def verify(connection: Connection, heads: Mapping[int, str] | None = None) -> BrokenChain | int:
    """Return the number of entries of an unbroken chain, else the first entry that does not fit.

    `heads` are hashes of entries that were kept elsewhere.
    """
    prev, count = FIRST, 0
    for row in _rows(connection):
        count += 1
        fields = tuple(row)[:8]
        if row["seq"] != count:
            return BrokenChain(row["seq"], f"entry {count} is missing")
        if row["prev"] != prev:
            return BrokenChain(row["seq"], "does not name the hash of the entry before it")
        if row["hash"] != hash_of(prev, fields):
            return BrokenChain(row["seq"], "was changed")
        if heads is not None and heads.get(count, row["hash"]) != row["hash"]:
            return BrokenChain(row["seq"], "differs from the hash that was kept elsewhere")
        prev = row["hash"]
    missing = [seq for seq in heads or {} if seq > count]
    if missing:
        return BrokenChain(min(missing), "is missing, and a hash of it was kept elsewhere")
    return count


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(**{**dict(row), "details": json.loads(row["details"])})


def _rows(connection: Connection) -> Iterator[Row]:
    """Yield every entry; a part at a time, so that a long log is not held in memory."""
    last = 0
    while rows := connection.execute(_PART, (last,)).fetchall():
        yield from rows
        last = rows[-1]["seq"]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
