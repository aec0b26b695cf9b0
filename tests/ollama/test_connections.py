"""Connections to Ollama servers: the environment does not disturb them, and no connection to a
public address is opened.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.ollama import api, uploads
from finops_cli.models.ollama.generate import generate
from finops_cli.models.servers.answers import Patience
from finops_cli.models.servers.hosts import (
    PublicAddress,
    is_reachable,
    judge_address,
    open_client,
    refuse_outside,
)
from finops_cli.models.servers.timeouts import TimedTransport
from tests.support.ollama_models import select_backend_at
from tests.support.program import Finops

PUBLIC = "8.8.8.8"
NAME = "http://moved.test:11434"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"all_proxy": "nonsense"},
        {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "::1/128"},
        {"no_proxy": "[::1"},
        {"OLLAMA_HOST": "http://[::1"},
        {"OLLAMA_HOST": "localhost:port"},
        {"OLLAMA_HOST": "8.8.8.8"},
        {"SSL_CERT_FILE": "/nowhere"},
    ],
)
@pytest.mark.parametrize("command", [("models",), ("create", "--stage", "triage", "--quiet")])
def test_command_ignores_the_environment_beside_a_host(
    variables: dict[str, str], command: tuple[str, ...], gguf: Any
) -> None:
    """Proxies, certificates and OLLAMA_HOST of the environment change nothing where `--host` names
    a server that answers.
    """
    files = ("--gguf", str(gguf)) if "create" in command else ()
    with FakeOllama(models=[]) as server:
        done = subprocess.run(
            [sys.executable, "-m", "finops_cli", *command, *files, "--host", server.url],
            env={**os.environ, **variables},
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("is_secure", [False, True])
def test_certificates_are_read_for_https_alone(is_secure: bool) -> None:
    """A connection to a server with http reads no certificates, which take a twentieth of a second;
    one with https reads them.
    """
    called: set[str] = set()
    sys.setprofile(lambda frame, event, function: called.add(getattr(function, "__name__", event)))
    try:
        TimedTransport(is_secure=is_secure)
    finally:
        sys.setprofile(None)
    assert ("load_verify_locations" in called) is is_secure


class Names:
    """Names for a test: `moved.test` has the next of the given addresses each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: Iterator[str | None] = iter(())
        self.connected: list[str] = []
        self._resolve, self._connect = socket.getaddrinfo, socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", self._create_connection)

    def give(self, *addresses: str | None) -> None:
        """Set the addresses of the name; None for a name that cannot be resolved."""
        self.addresses = iter(addresses)

    def _getaddrinfo(self, host: Any, *arguments: Any, **options: Any) -> Any:
        address = next(self.addresses) if host == "moved.test" else host
        if address is None:
            raise socket.gaierror("no such name")
        return self._resolve(address, *arguments, **options)

    def _create_connection(self, address: Any, *arguments: Any, **options: Any) -> Any:
        self.connected.append(address[0])
        return self._connect(address, *arguments, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize("before", ["127.0.0.1", None])
def test_connection_is_judged_by_its_own_address(before: str | None, names: Names) -> None:
    """A name that was private, or failed, when it was judged and is public when it is used is
    refused, and no connection is opened.
    """
    for use in (
        api.version,
        lambda url: uploads.has_blob(uploads.connect(url), "sha256:0"),
        lambda url: is_reachable(url, 0.1),
    ):
        names.give(before, PUBLIC)
        judge_address(NAME, "refuse")
        with pytest.raises(PublicAddress, match=PUBLIC):
            use(NAME)
    assert names.connected == []


def test_answer_from_a_moved_server_is_a_failed_request(names: Names) -> None:
    """A server whose name becomes public during a run cannot be reached; the run goes on."""
    names.give(PUBLIC)
    with (
        open_client(NAME, transport=TimedTransport()) as client,
        pytest.raises(failures.Unreachable, match="public address"),
    ):
        generate(client, {"model": "m"}, Patience(1, 5, 5))
    assert names.connected == []


def test_auto_opens_no_connection_to_a_public_address(
    names: Names, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` judges OLLAMA_HOST before it looks for a server there, and takes the engine."""
    names.give(PUBLIC, PUBLIC)
    monkeypatch.setenv("OLLAMA_HOST", NAME)
    selected = select_backend_at(kb, "auto", stages=("triage",))
    assert (selected.backend.origin.name, names.connected) == ("engine", [])


@pytest.mark.parametrize("address", ["8.8.8.8", "[2001:4860:4860::8888]", "[::ffff:8.8.8.8]"])
def test_public_address_is_refused_in_each_form(address: str) -> None:
    """IPv4, IPv6 and an IPv4 address that is written as IPv6 are public addresses."""
    with pytest.raises(PublicAddress):
        refuse_outside(f"http://{address}:11434")


def test_allowed_public_address_is_not_judged_again(names: Names) -> None:
    """Where the knowledge base allows public servers, connections to them are opened."""
    judge_address(NAME, "allow")
    names.give("127.0.0.1")
    assert not is_reachable(NAME, 0.05)
    assert names.connected == ["127.0.0.1"]


def test_models_reports_a_bad_ollama_host(finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--host`, a bad OLLAMA_HOST is one error that names it."""
    monkeypatch.setenv("OLLAMA_HOST", "http://[::1")
    done = finops("models")
    assert (done.returncode, b"OLLAMA_HOST=http://[::1" in done.stderr) == (2, True)
