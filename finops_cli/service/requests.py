"""The facts about a request that the doors find out, and that the routes need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope

from finops_cli.service.auth.roles import RIGHTS, Right, Role
from finops_cli.service.store.audit import Actor

_KEY = "finops"
_ID_BYTES = 13
_DRAWN_IDS = 64
"""Names that are drawn at once: each draw is a call to the system."""


class RequestHeaders(Mapping[str, str]):
    """The headers of a request by their names, in any case of the letters: the first of each."""

    __slots__ = ("is_repeated", "raw")

    def __init__(self, scope: Scope) -> None:
        given = scope["headers"]
        self.raw: dict[bytes, bytes] = dict(reversed(given))
        """The headers in bytes, by their names in lower case. Every request passes the doors, which
        look at bytes because decoding costs more.
        """
        self.is_repeated = len(self.raw) < len(given)
        """A name is given twice."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return the first header of a name."""
        found = self.raw.get(name.lower().encode("latin-1"))
        return default if found is None else found.decode("latin-1")

    def __getitem__(self, name: str) -> str:
        return self.raw[name.lower().encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self.raw)

    def __len__(self) -> int:
        return len(self.raw)


@dataclass(slots=True, kw_only=True)
class RequestFacts:
    """Who sends a request, and how it is named in logs."""

    request_id: str
    headers: RequestHeaders
    is_open: bool = False
    """The path needs no token."""
    is_answered: bool = False
    """The head of the answer was sent."""
    name: str = ""
    """The owner of the token; empty for a path without one."""
    person: str | None = None
    """The person who holds the token; None: `name` is the person."""
    role: Role | None = None
    session: str | None = None
    """The session of a browser; None for a token in a header."""

    def may(self, right: Right) -> bool:
        """Return true if the role has `right`."""
        return self.role is not None and right in RIGHTS[self.role]


def actor_of(connection: HTTPConnection) -> Actor:
    """Return who sends a request, for the audit log."""
    facts = facts_of(connection)
    return Actor(facts.name, facts.role or "", facts.request_id, facts.person)


def _draw_ids() -> Iterator[str]:
    size = 2 * _ID_BYTES
    while True:
        drawn = os.urandom(_ID_BYTES * _DRAWN_IDS).hex()
        yield from (drawn[at : at + size] for at in range(0, len(drawn), size))


_ids = _draw_ids()


def new_request_id() -> str:
    """Make a name for a request, in the thread of the event loop."""
    return next(_ids)


def keep_facts(scope: Scope, facts: RequestFacts) -> None:
    """Keep the facts with the request."""
    scope.setdefault("state", {})[_KEY] = facts


def facts_of(connection: HTTPConnection) -> RequestFacts:
    """Return the facts about a request that has passed the doors."""
    return facts_in(connection.scope)


def facts_in(scope: Scope) -> RequestFacts:
    """Return the facts that are kept with a request."""
    facts: RequestFacts = scope["state"][_KEY]
    return facts
