"""Tokens: who may use the service. A file of tokens holds their digests, never a token.

Replicas share theirs in a database: see `stored_tokens`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from finops_cli.errors import UsageError
from finops_cli.files.settings_text import decode_settings, parse_toml, read_settings
from finops_cli.service.auth.roles import ROLES, Role

PREFIX = "fop_"
_RANDOM_BYTES = 32
KNOWN_SECONDS = 5
"""A token or session that was ended elsewhere may be good for so long, where replicas share it."""
_DIGEST = re.compile("[0-9a-f]{64}")
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO

Now = Callable[[], datetime]
"""Returns the present moment with its time zone."""


def utc_now() -> datetime:
    """Return the present moment. The clock of the machine decides about expiry and audit only."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOwner:
    """The person or program behind a token."""

    name: str
    role: Role
    sha256: str
    """SHA-256 of the token, in hexadecimal."""
    expires: datetime | None = None
    person: str | None = None
    """The person who holds the token; None: the name is the person."""

    def is_valid(self, now: datetime) -> bool:
        """Return true if the token has not expired."""
        return self.expires is None or now < self.expires


def make_token() -> str:
    """Make a token with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(token: str) -> str:
    """Return the SHA-256 of `token`, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_owner(
    token: str,
    name: str,
    role: Role,
    now: datetime,
    days: int | None,
    person: str | None = None,
) -> TokenOwner:
    """Return the owner of a new token; `days` None: it does not expire.

    Raises UsageError for a name that cannot be shown in a line.
    """
    for option, given in (("--name", name), ("--person", person)):
        if given is not None and not is_name(given):
            raise UsageError(
                f"{option} {given!r}: not a name. Expected visible characters in one line, such as"
                " anna.",
                "give the name of a person or a program",
            )
    expires = None if days is None else (now + timedelta(days=days)).replace(microsecond=0)
    return TokenOwner(name=name, role=role, sha256=digest_of(token), expires=expires, person=person)


def is_name(name: str) -> bool:
    """Return true for a name that can be shown in a line."""
    return name.isprintable() and bool(name.strip())


def name_key(name: str) -> str:
    """Return what two names have in common that people cannot tell apart by case or blanks."""
    return " ".join(name.casefold().split())


def token_entry(owner: TokenOwner) -> str:
    """Return the lines of a token file for the token of `owner`."""
    lines = ["[[token]]", f"name = {_quote(owner.name)}"]
    if owner.person is not None:
        lines.append(f"person = {_quote(owner.person)}")
    lines.append(f'role = "{owner.role}"')
    lines.append(f'sha256 = "{owner.sha256}"')
    if owner.expires is not None:
        lines.append(f"expires = {owner.expires.isoformat()}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # TOML escapes these characters likewise


class TokenFile:
    """The owners in a TOML file. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read `path`. Raises UsageError for a file that others may read, or that is damaged."""
        self._path, self._name = path, os.fspath(path)
        self._seen: tuple[int, int, int] | None = None
        self._owners: list[TokenOwner] = []
        self._is_current = False
        """The file was looked at in this turn of the event loop."""
        self._refresh()

    async def owners(self) -> list[TokenOwner]:
        """Return the owners in the file, as it is now. Raises UsageError.

        Requests of one turn of the event loop, which came before it, share one look at the file.
        """
        if not self._is_current:
            self._refresh()
            self._is_current = True
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self._owners

    def _end_turn(self) -> None:
        self._is_current = False

    def _refresh(self) -> None:
        """Read the file again if it has changed."""
        found = os.stat(self._name)  # noqa: PTH116 - a Path is twice as slow
        state = (found.st_mtime_ns, found.st_size, found.st_mode)
        if state != self._seen:
            if os.name == "posix" and found.st_mode & _OTHERS_MAY_READ:
                raise UsageError(
                    f"--tokens {self._path}: other users of this machine may read it",
                    f"chmod 600 {self._path}",
                )
            self._owners = read_owners(self._path)
            self._seen = state


class SingleToken:
    """The one token of a service without a token file."""

    def __init__(self, token: str) -> None:
        self._owner = TokenOwner(name="desk", role="admin", sha256=digest_of(token))

    async def owners(self) -> list[TokenOwner]:
        """Return the one owner, with every right."""
        return [self._owner]


def find_owner(owners: list[TokenOwner], token: str, now: datetime) -> TokenOwner | None:
    """Return the owner of `token`; None if nobody owns it or it has expired.

    Every digest is compared, and each comparison takes the same time.
    """
    given = digest_of(token)
    found = None
    for owner in owners:
        if hmac.compare_digest(owner.sha256, given) and owner.is_valid(now):
            found = owner
    return found


def read_owners(path: Path) -> list[TokenOwner]:
    """Read a token file. Raises UsageError, which names the token and the field with a fault."""
    text = decode_settings(path, read_settings(path))
    try:
        given = parse_toml(text)
    except ValueError as error:
        raise UsageError(
            f"--tokens {path}: {error}", "make a file with `finops token new`"
        ) from error
    rows = given.get("token")
    if not isinstance(rows, list) or not rows or set(given) != {"token"}:
        raise UsageError(
            f"--tokens {path}: no [[token]] in it. Expected one or more, and nothing else.",
            "make a file with `finops token new`",
        )
    owners = [_read_owner(path, number, row) for number, row in enumerate(rows, start=1)]
    names = [owner.name for owner in owners]
    folded = [name_key(name) for name in names]
    repeated = next(
        (n for n, each in zip(names, folded, strict=True) if folded.count(each) > 1), None
    )
    if repeated is not None:
        raise UsageError(
            f"--tokens {path}: the name {repeated} is used twice", "give each token its own name"
        )
    digests = [owner.sha256 for owner in owners]
    shared = [owner.name for owner in owners if digests.count(owner.sha256) > 1]
    if shared:
        raise UsageError(
            f"--tokens {path}: {' and '.join(shared)} have the same token",
            "make a token for each with `finops token new`",
        )
    return owners


def _read_owner(path: Path, number: int, row: Any) -> TokenOwner:
    fields = row if isinstance(row, dict) else {}

    def fault(field: str, accepted: str) -> UsageError:
        return UsageError(
            f"--tokens {path}: token {number}: {field} is {fields.get(field)}."
            f" Expected {accepted}.",
            "make the entry with `finops token new`",
        )

    unknown = sorted(set(fields) - {"name", "person", "role", "sha256", "expires"})
    if unknown:
        raise fault(unknown[0], "name, person, role, sha256, expires and no other field")
    name, role, sha256 = fields.get("name"), fields.get("role"), fields.get("sha256")
    if not isinstance(name, str) or not is_name(name):
        raise fault("name", "a text of visible characters in one line")
    person = fields.get("person")
    if person is not None and not (isinstance(person, str) and is_name(person)):
        raise fault("person", "a text of visible characters in one line, or no such field")
    if role not in ROLES:
        raise fault("role", ", ".join(ROLES))
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        raise fault("sha256", "the SHA-256 of a token in hexadecimal")
    expires = fields.get("expires")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise fault("expires", "a moment with its offset, such as 2027-01-31T00:00:00Z")
    return TokenOwner(name=name, role=role, sha256=sha256, expires=expires, person=person)
