"""A real service in a process of its own, started once, and a client for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from finops_cli.service.auth.roles import ROLES
from finops_cli.service.auth.tokens import new_owner, token_entry, utc_now
from tests.support.postgres import Postgres, running_postgres
from tests.support.program import ROOT, call_finops

HAS_PACKAGES = find_spec("prometheus_client") is not None  # llama-cpp-python[server] brings fastapi
_NEED_PACKAGES = (
    "contract",
    "deadlines_and_reload",
    "doors",
    "drift",
    "exports",
    "fails",
    "files",
    "jobs",
    "records",
    "reliability",
    "system",
    "when_down",
)
_NEEDED = ("connections", "endurance", "replicas", *(f"test_{each}.py" for each in _NEED_PACKAGES))
collect_ignore = [] if HAS_PACKAGES else list(_NEEDED)
"""The tests that need the extra `serve`; `.ci/run` installs it for the slow tests."""
TOKENS = {role: f"fop_{role}-of-the-tests" for role in ROLES}


class Server(NamedTuple):
    """A running service."""

    url: str
    process: subprocess.Popen[str]
    data: Path

    def client(self, role: str = "analyst", **headers: str) -> httpx.Client:
        """Return a client with the token of `role`."""
        given = {"Authorization": f"Bearer {TOKENS[role]}", **headers}
        return httpx.Client(base_url=self.url, headers=given, timeout=30)


def write_tokens(path: Path) -> Path:
    """Write a file with a token for each role."""
    owners = [new_owner(TOKENS[each], each, each, utc_now(), 1) for each in ROLES]
    path.write_text("".join(token_entry(owner) for owner in owners))
    path.chmod(0o600)
    return path


def start(folder: Path, *options: str, kb: Path | None = None, store: str | None = None) -> Server:
    """Start a service on a free port, and wait until it answers. `kb`: other rules.

    `store`: a database of replicas, which gets the tokens; else they are in a file.
    """
    tokens = write_tokens(folder / "tokens.toml")
    place = ["--tokens", str(tokens)] if store is None else ["--store", store]
    if store is not None:
        assert call_finops("token", "import", tokens, *place).returncode == 0
    rules = [] if kb is None else ["--kb", str(kb)]
    command = [sys.executable, "-m", "finops_cli", *rules, "serve", "--port", "0", "--quiet"]
    command += ["--data", str(folder / "data"), *place, *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline().split()
    if not first:
        raise AssertionError(process.communicate()[1])
    return Server(first[1], process, folder / "data")


def stop(server: Server) -> None:
    """Stop a service as systemd does."""
    server.process.terminate()
    server.process.communicate(timeout=90)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the rules engine, without the guard."""
    running = start(tmp_path_factory.mktemp("service"), "--guard", "off")
    yield running
    stop(running)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client with the role analyst."""
    with server.client() as opened:
        yield opened


STORES = ("sqlite", pytest.param("postgres", marks=pytest.mark.slow))
"""The databases that the tests of the store run on."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of PostgreSQL, without databases."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str | None:
    """The address of a new database; None for SQLite."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()
