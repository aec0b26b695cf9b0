"""Addresses of servers of models: `OLLAMA_HOST`-like texts as URLs.

Fail records must stay in the user's network, so public addresses are refused, and proxies of the
environment are not used.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from finops_cli.errors import UsageError
from finops_cli.kb.chapters.models import ExternalServerPolicy

if TYPE_CHECKING:
    import httpx

_PORT = 11434
"""Ollama's own default."""
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only compared, never bound
_ACCEPTED = "HOST, HOST:PORT or http://HOST:PORT"
_FOREIGN = " ?#\\"
"""Characters that no address of a server contains. Some would start a query or a fragment."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST = 1_000
_SHOWN_CHARS = 80
_IPV6 = 6
_PUBLIC_ALLOWED: set[str] = set()
"""The URLs for which the knowledge base allows public addresses (`model.external_servers`)."""


def resolve_hosts(given: Sequence[str]) -> tuple[str, ...]:
    """Return the base URLs of `given`, else of `OLLAMA_HOST`, else of this machine.

    Raises UsageError for an invalid address.
    """
    environment = os.environ.get("OLLAMA_HOST", "").strip()
    if not given:
        return (base_url(environment, "OLLAMA_HOST=") if environment else base_url("127.0.0.1"),)
    return refuse_repeated(tuple(base_url(host) for host in given))


def refuse_repeated(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Return `urls`. Raises UsageError if one is there twice."""
    twice = [url for url in urls if urls.count(url) > 1]
    if twice:
        raise UsageError(f"--host {twice[0]} is given twice", "give each server once")
    return urls


def base_url(host: str, origin: str = "--host ", default_port: int = _PORT) -> str:
    """Convert `host` to a base URL without a trailing slash.

    An address for listening on all interfaces becomes this machine. Raises UsageError that begins
    with `origin`, the place of the address.
    """
    given = host.strip()
    if "@" in given:  # the message must not hold a password
        raise UsageError(
            f"{origin}***@{ascii(given.rpartition('@')[2])[1:-1][:_SHOWN_CHARS]}:"
            f" a user or password in an address; accepted: {_ACCEPTED}",
            "give the address alone; the key of a server comes from FINOPS_API_KEY or"
            " --api-key-file",
        )
    place = origin + (host if host.isprintable() else ascii(host))[:_SHOWN_CHARS]
    if (
        not given.isprintable()
        or len(given) > _LONGEST
        or any(character in given for character in _FOREIGN)
    ):
        raise UsageError(f"{place}: accepted: {_ACCEPTED}")
    scheme, marked, rest = given.partition("://")
    scheme, rest = (scheme.lower(), rest) if marked else ("http", given)
    rest = f"[{rest}]" if _is_ipv6(rest) else rest
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        name, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"{place}: {error}; accepted: {_suggest_brackets(rest) or _ACCEPTED}"
        ) from error
    if name is None and port is not None and rest.startswith(":"):  # as in OLLAMA_HOST=":11434"
        name = "127.0.0.1"
    if scheme not in ("http", "https") or not name or port == 0:
        raise UsageError(f"{place}: accepted: {_ACCEPTED}")
    _refuse_invalid_name(place, name)
    if name in _EVERYWHERE:
        name = "127.0.0.1"
    if port is None:
        port = {"http": 80, "https": 443}[scheme] if marked else default_port
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}{parts.path.rstrip('/')}"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == _IPV6
    except ValueError:
        return False


def _suggest_brackets(text: str) -> str | None:
    """Suggest `[::1]:11434` for `::1:11434`."""
    address, _, port = text.rpartition(":")
    return f"[{address}]:{port}" if _is_ipv6(address) else None


def _refuse_invalid_name(place: str, name: str) -> None:
    """Raise UsageError for a text that cannot be a host name."""
    try:
        name.encode("idna")
        known = (
            _is_ipv6(name) or _NAME.fullmatch(name)
            if name.isascii() and "xn--" not in name
            else _is_international(name)
        )
    except UnicodeError:
        known = False
    if not known:
        raise UsageError(f"{place}: invalid host name {name[:_SHOWN_CHARS]}; accepted: {_ACCEPTED}")


def _is_international(name: str) -> bool:
    import httpx  # httpx converts such names itself

    try:
        return bool(httpx.URL(f"http://{name}").host)
    except (UnicodeError, httpx.InvalidURL):
        return False


class PublicAddress(UsageError):
    """A server has an address on the public internet, and fail records must stay inside."""


def judge_address(url: str, policy: ExternalServerPolicy) -> None:
    """Raise PublicAddress if `url` has a public address and `policy` refuses such servers.

    Later connections to `url` are judged by the same policy, each by the address that it goes to,
    because a name can change or fail the first time.
    """
    if policy == "allow":
        _PUBLIC_ALLOWED.add(url)
        return
    _PUBLIC_ALLOWED.discard(url)
    refuse_outside(url)


def allows_public(url: str) -> bool:
    """Return true if the knowledge base allows connections of `url` to public addresses."""
    return url in _PUBLIC_ALLOWED


def is_secure(url: str) -> bool:
    """Return true if `url` asks for a connection by TLS."""
    return url.lower().startswith("https:")


def refuse_outside(url: str) -> None:
    """Raise PublicAddress if `url` has an address on the public internet."""
    _refuse_public(url, resolve_addresses(url))


def resolve_addresses(url: str) -> list[str]:
    """Return the addresses of the host of `url`; empty if its name cannot be resolved."""
    parts = urlsplit(url)
    try:
        return _resolve(parts.hostname or "", parts.port or _PORT)
    except (OSError, UnicodeError):
        return []


def resolve_judged(host: str, port: int, allows_public: bool) -> list[str]:
    """Return the addresses of `host` to connect to, so that no other is used than the judged ones.

    Raises OSError or UnicodeError for a name that cannot be resolved, PublicAddress for a public
    address unless `allows_public`.
    """
    addresses = _resolve(host, port)
    if not allows_public:
        _refuse_public(host, addresses)
    return addresses


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _refuse_public(place: str, addresses: Sequence[str]) -> None:
    outside = [address for address in addresses if _is_public(address)]
    if outside:
        raise PublicAddress(
            f"{place}: {outside[0]} is a public address, and fail records must stay in your"
            " network",
            "give a server on this machine or in your own network",
        )


def _is_public(address: str) -> bool:
    """Return true for an address of the public internet, also an IPv4 one written as IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global


def is_reachable(url: str, seconds: float) -> bool:
    """Return true if a server accepts a connection at `url` within `seconds`.

    No HTTP library is loaded for this. Raises PublicAddress before a connection to a public
    address is opened.
    """
    parts = urlsplit(url)
    port = parts.port or _PORT
    try:
        addresses = resolve_judged(parts.hostname or "", port, allows_public(url))
    except (OSError, UnicodeError):
        return False
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=seconds):
                return True
        except OSError:
            continue
    return False


def open_client(url: str, **options: Any) -> httpx.Client:
    """Open an HTTP client for `url` that ignores proxies of the environment, follows no redirect
    and keeps no cookie.
    """
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.Client(
        base_url=url, cookies=none, trust_env=False, follow_redirects=False, **options
    )
