"""The settings that a service is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from typing import Literal

from finops_cli.domain.enums import GuardMode
from finops_cli.errors import UsageError

RULES_FOLDER = "rules"
"""The folder of kept rules, by their digest, in the data of a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Where the service listens, whom it answers, and where it keeps its data."""

    host: str = "127.0.0.1"
    port: int = 8765
    socket: Path | None = None
    """A Unix socket in place of host and port."""
    data: Path
    """The folder of the service's data. Replicas share it."""
    own: Path | None = None
    """The folder of what one replica writes for itself; None: `data`."""
    rules: str = ""
    """The settings that answers depend on, as text: they must be equal in all replicas."""
    store: str | None = field(default=None, repr=False)
    """The address of a PostgreSQL database; it may hold a password. None: SQLite in `data`."""
    tokens: Path | None = None
    """The file of tokens; None: those of `store`, else one token is made at the start."""
    allow_hosts: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: str | None = None
    """The address of a reverse proxy whose headers are believed."""
    guard: GuardMode = "require"
    calendar: Path | None = None
    when_down: Literal["refuse", "engine"] = "refuse"
    """What answers while no model does."""
    sentiment_model: str | None = None
    """The model of a server that labels texts; None: the classifier that ships, or a file."""
    sentiment_server: Literal["ollama", "openai"] = "ollama"
    """The protocol of that server."""
    sentiment_gguf: Path | None = None
    ray: str | None = None
    """The address of the Ray cluster that jobs may ask for."""
    keep_days: int | None = None
    """Days that files and outputs are kept; 0: for ever; None: those of the kb."""
    demo: Path | None = None
    """An example that a first job runs on."""
    four_eyes: bool = False
    """An override waits until a second person accepts it."""
    has_access_log: bool = True

    @property
    def is_loopback(self) -> bool:
        """Return true if only this machine can reach the service."""
        return self.socket is not None or is_loopback(self.host)

    @property
    def own_folder(self) -> Path:
        """Return the folder of what no other replica touches."""
        return self.own or self.data

    @property
    def rules_folder(self) -> Path:
        """Return the folder of the rules that the service was ever started with."""
        return self.data / RULES_FOLDER

    @property
    def replica(self) -> str:
        """Return the name of the service among its replicas: its machine and its address."""
        return f"{gethostname()}-{self.port if self.socket is None else self.socket.name}"

    @property
    def has_tls(self) -> bool:
        """Return true if the service itself, or a proxy before it, encrypts."""
        return self.tls_certificate is not None or self.behind_proxy is not None

    @property
    def sentiment_backend(self) -> str:
        """Return what labels texts."""
        if self.sentiment_gguf is not None:
            return "llama-cpp"
        return "baseline" if self.sentiment_model is None else self.sentiment_server

    @property
    def asks_server(self) -> bool:
        """Return true if a server labels texts."""
        return self.sentiment_backend == self.sentiment_server

    def refuse_open_doors(self) -> None:
        """Raise UsageError for an address that other machines reach without tokens and TLS."""
        if self.tokens is not None and self.store is not None:
            raise UsageError(
                f"--tokens {self.tokens}: with --store the tokens are in the database",
                f"`finops token import {self.tokens} --store ADDRESS` once; leave --tokens out",
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError(
                "--tls-cert and --tls-key belong together, and one is missing",
                "give both, or neither",
            )
        if self.four_eyes and self.tokens is None and self.store is None:
            raise UsageError(
                "--four-eyes: without --tokens the service makes one token, for one person, so"
                " nobody could accept an override",
                "make a token for each person with `finops token new`, and give --tokens FILE",
            )
        if self.is_loopback:
            return
        missing = []
        if self.tokens is None and self.store is None:
            missing.append("--tokens FILE")
        if not self.has_tls:
            missing.append("--tls-cert FILE --tls-key FILE (or --behind-proxy ADDRESS)")
        if missing:
            raise UsageError(
                f"--host {self.host}: other machines can reach this address."
                f" Expected also {' and '.join(missing)}.",
                "give them, or listen on 127.0.0.1",
            )


def is_loopback(host: str) -> bool:
    """Return true for an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
