"""Answers that are kept for a day, so that a request that is sent again is done once.

The key is that of the header Idempotency-Key. The answer is stored in the transaction of what it
tells about: after a crash, either both are there or neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from finops_cli.service.store.database import Connection


class Claim(NamedTuple):
    """A request that may be sent again: who sends it, its key, and the digest of its content."""

    who: str
    key: str
    digest: str


class KeptAnswer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_replayed: bool = False


class OtherContent(Exception):
    """The key of the claim belongs to a request with another content."""


def find_answer(connection: Connection, claim: Claim) -> KeptAnswer | None:
    """Return the answer to an earlier request with this key. Raises OtherContent."""
    row = connection.execute(
        "SELECT * FROM answers WHERE who = ? AND key = ?", (claim.who, claim.key)
    ).fetchone()
    if row is None:
        return None
    if row["digest"] != claim.digest:
        raise OtherContent
    return KeptAnswer(row["status"], json.loads(row["headers"]), row["body"], is_replayed=True)


def keep_answer(
    connection: Connection, claim: Claim, answer: KeptAnswer, at: datetime, seconds: int
) -> None:
    """Keep an answer, and forget those that are older than `seconds`."""
    oldest = (at - timedelta(seconds=seconds)).isoformat()
    connection.execute("DELETE FROM answers WHERE at < ?", (oldest,))
    connection.execute(
        "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(claim.who, claim.key, at.isoformat(), claim.digest, answer.status),
            *(json.dumps(answer.headers), answer.body),
        ),
    )


def answer_once(
    connection: Connection,
    claim: Claim | None,
    at: datetime,
    seconds: int,
    work: Callable[[Connection], KeptAnswer],
) -> KeptAnswer:
    """Do `work` and keep its answer, or return the answer that is kept. Raises OtherContent.

    `claim` None: the request has no key, and is done each time.
    """
    if claim is None:
        return work(connection)
    found = find_answer(connection, claim)
    if found is not None:
        return found
    answer = work(connection)
    keep_answer(connection, claim, answer, at, seconds)
    return answer
