"""The tokens of replicas are in their database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from finops_cli.errors import UsageError
from finops_cli.service.auth.stored_tokens import (
    StoredTokens,
    add_owner,
    import_owners,
    list_owners,
    revoke,
)
from finops_cli.service.auth.tokens import KNOWN_SECONDS, TokenOwner, make_token, new_owner
from finops_cli.service.store.audit import Actor, read_entries
from finops_cli.service.store.database import Database
from finops_cli.service.store.opening import open_database, snapshot
from tests.service.conftest import TOKENS, stop
from tests.service.replicas.test_replicas import replica, until
from tests.support.postgres import Postgres
from tests.support.program import call_finops

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ROOT_USER = Actor("root", "", "")
ANNA = new_owner("fop_anna", "anna", "analyst", NOW, 90)
BEN = new_owner("fop_ben", "ben", "reader", NOW, None, "Ben Ode")


@pytest.fixture
def database(tmp_path: Path, store: str | None) -> Iterator[Database]:
    """A new database of a service."""
    with closing(open_database(tmp_path, store)) as opened:
        yield opened


def add(database: Database, owner: TokenOwner) -> None:
    database.write_now(lambda db: add_owner(db, owner, ROOT_USER, NOW))


def test_token_is_stored_whole_and_without_its_secret(database: Database) -> None:
    """Name, role, digest and expiry come back as they were, and the audit log names the token."""
    add(database, BEN)
    add(database, ANNA)
    assert database.write_now(list_owners) == [ANNA, BEN]
    entries = database.write_now(read_entries)
    assert [(each.who, each.action, each.subject) for each in entries] == [
        ("root", "add-token", "ben"),
        ("root", "add-token", "anna"),
    ]


def test_name_of_a_token_is_taken_once(database: Database) -> None:
    """Two tokens have no common name, because the audit log names owners."""
    add(database, ANNA)
    with pytest.raises(UsageError, match="has the name anna already"):
        add(database, new_owner(make_token(), "anna", "admin", NOW, None))
    with pytest.raises(UsageError, match="has the name anna already"):
        add(database, new_owner(make_token(), " Anna", "admin", NOW, None))


def test_file_is_imported_whole_and_once(database: Database) -> None:
    """A file may be imported again; one that contradicts the database adds nothing of it."""
    first = database.write_now(lambda db: import_owners(db, [ANNA], ROOT_USER, NOW))
    assert first == (["anna"], [])
    again = database.write_now(lambda db: import_owners(db, [ANNA, BEN], ROOT_USER, NOW))
    assert again == (["ben"], ["anna"])
    other = [new_owner("x", "new", "admin", NOW, 1), new_owner("y", "anna", "admin", NOW, 1)]
    with pytest.raises(UsageError, match="another token of the name"):
        database.write_now(lambda db: import_owners(db, other, ROOT_USER, NOW))
    assert database.write_now(list_owners) == [ANNA, BEN]


def test_revoked_token_is_gone(database: Database) -> None:
    """A token is revoked by its name, once."""
    add(database, ANNA)
    database.write_now(lambda db: revoke(db, "anna", ROOT_USER, NOW))
    assert database.write_now(list_owners) == []
    with pytest.raises(UsageError, match="no token of this name"):
        database.write_now(lambda db: revoke(db, "anna", ROOT_USER, NOW))


async def _names_over_time(database: Database, moments: list[datetime]) -> list[list[str]]:
    tokens = StoredTokens(database, lambda: moments[0])
    names = [[each.name for each in await tokens.owners()]]
    await database.write(lambda db: revoke(db, "anna", ROOT_USER, NOW))
    for moment in moments[1:]:
        moments[0] = moment
        names.append([each.name for each in await tokens.owners()])
    return names


def test_owners_are_read_again_after_seconds(database: Database) -> None:
    """A token that another process revokes is refused after `KNOWN_SECONDS`, or a set clock."""
    add(database, ANNA)
    add(database, BEN)
    soon, late = NOW + timedelta(seconds=KNOWN_SECONDS), NOW - timedelta(seconds=1)
    found = asyncio.run(_names_over_time(database, [NOW, soon, late]))
    assert found == [["anna", "ben"], ["anna", "ben"], ["ben"]]


def test_database_without_tokens_starts_no_service(database: Database) -> None:
    """A service that nobody can use says how to make a token."""
    with pytest.raises(UsageError, match="has no tokens"):
        StoredTokens(database, lambda: NOW)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("token", "new", "-o", "t.toml", "--store", "postgresql://x"), "in one place"),
        (("token", "new"), "no place for tokens"),
        (("serve", "--tokens", "t.toml", "--store", "postgresql://x"), "in the database"),
    ],
)
def test_tokens_are_in_one_place(arguments: tuple[str, ...], said: str) -> None:
    """A file and a database together are refused, and so is neither of them."""
    given = ("--name", "anna", "--role", "reader") if arguments[1] == "new" else ()
    done = call_finops(*arguments, *given)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


@pytest.mark.slow
def test_revoked_token_is_refused_by_every_replica(tmp_path: Path, postgres: Postgres) -> None:
    """A token that is made while replicas run is good at each; revoked, it and its session are
    refused by each.
    """
    store = postgres.create()
    servers = [replica(tmp_path, store) for _ in range(2)]
    made = call_finops("token", "new", "--name", "eve", "--role", "analyst", "--store", store)
    token = made.stdout.decode().strip()
    clients = [
        httpx.Client(base_url=each.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        for each in servers
    ]
    for client in clients:
        until(lambda client=client: client.get("/v1/fails").status_code == 200, 10)
    browser = httpx.Client(base_url=servers[0].url, timeout=60)
    own = {"Sec-Fetch-Site": "same-origin"}
    form = {"token": token, "next": "/"}
    assert browser.post("/sign-in", data=form, headers=own).status_code == 303
    assert browser.get("/").status_code == 200
    listed = call_finops("token", "list", "--store", store).stdout.decode()
    assert [line.split()[0] for line in listed.splitlines()] == sorted([*TOKENS, "eve"])
    assert call_finops("token", "revoke", "eve", "--store", store).returncode == 0
    for client in clients:
        until(lambda client=client: client.get("/v1/fails").status_code == 401, 10)
    until(lambda: browser.get("/").status_code in (303, 401), 10)
    with servers[1].client() as analyst:
        assert analyst.get("/v1/fails").status_code == 200
    with snapshot(store) as connection:
        actions = [(each.action, each.subject) for each in read_entries(connection)]
    assert ("add-token", "eve") in actions
    assert ("revoke-token", "eve") in actions
    for opened in (*clients, browser):
        opened.close()
    for server in servers:
        stop(server)
