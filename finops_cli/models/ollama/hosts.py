"""Where Ollama listens: `OLLAMA_HOST`-like addresses as URLs, and nothing outside the house.

Fail records may not leave the house, so an address that the whole world can reach is refused, and no proxy of the environment is used.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from finops_cli.errors import UsageError

if TYPE_CHECKING:
    import httpx

_PORT = 11434
"""Ollama's own default."""
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound
_ACCEPTED = "HOST, HOST:PORT or http://HOST:PORT"


def hosts_of(given: Sequence[str]) -> tuple[str, ...]:
    """The base URLs of `given`, else of `OLLAMA_HOST`, else of this machine. Raises UsageError for one that is no address."""
    named = tuple(given) or (os.environ.get("OLLAMA_HOST") or "127.0.0.1",)
    urls = tuple(url_of(host) for host in named)
    twice = [url for url in urls if urls.count(url) > 1]
    if twice:
        raise UsageError(f"--host {twice[0]} is given twice; one server is asked through one address")
    return urls


def url_of(host: str) -> str:
    """`host` as a base URL without a trailing slash. An address to listen on everywhere is one to reach here."""
    text = host.strip() if "://" in host else f"http://{host.strip()}"
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--host {host}: {error}; accepted: {_ACCEPTED}") from error
    if parts.scheme not in ("http", "https") or not name or parts.query or parts.username:
        raise UsageError(f"--host {host}: accepted: {_ACCEPTED}")
    if name in _EVERYWHERE:
        name = "127.0.0.1"
    if port is None:
        port = _PORT if "://" not in host else {"http": 80, "https": 443}[parts.scheme]
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}:{port}{parts.path.rstrip('/')}"


def refuse_outside(url: str) -> None:
    """Raises UsageError when `url` has an address that the public internet routes: the data may not leave the house."""
    outside = [address for address in addresses(url) if ipaddress.ip_address(address).is_global]
    if outside:
        raise UsageError(
            f"--host {url}: {outside[0]} is a public address, and fail records may not leave the house; "
            "give a server on this machine or in your own network"
        )


def addresses(url: str) -> list[str]:
    """The addresses that the host of `url` has; none when its name cannot be resolved."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def answers(url: str, seconds: float) -> bool:
    """Whether anything accepts a connection at `url` within `seconds`; no HTTP library is loaded to find out."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or _PORT), timeout=seconds):
            return True
    except OSError:
        return False


def client(url: str, **options: Any) -> httpx.Client:
    """An HTTP client for `url` that ignores the proxies of the environment and follows no redirect elsewhere."""
    import httpx

    return httpx.Client(base_url=url, trust_env=False, follow_redirects=False, **options)
