"""Connections with a limit for the whole answer, however slowly a server sends bytes.

httpx limits each read, not their sum, so a server that sends a byte now and then could block a
record without end.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import httpcore
import httpx

from finops_cli.errors import UsageError
from finops_cli.models.servers.hosts import resolve_judged

_due = threading.local()


@contextmanager
def total_timeout(until: float) -> Iterator[None]:
    """End every read and write of this thread by `until` (of `time.monotonic`).

    A later one raises httpx.TimeoutException.
    """
    _due.until = until
    try:
        yield
    finally:
        del _due.until


def shorten_timeout(seconds: float) -> None:
    """Shorten the limit of this thread to `seconds` from now."""
    _due.until = min(_due.until, monotonic() + seconds)


def bound_of(error: httpx.TimeoutException) -> str:
    """Return the limit in seconds that `error` exceeded, for the end of a message."""
    try:
        timeouts = error.request.extensions.get("timeout", {})
    except RuntimeError:  # no request was sent
        return ""
    kind = "write" if isinstance(error, httpx.WriteTimeout) else "read"
    return f" (limit: {timeouts[kind]:g} s)" if timeouts.get(kind) else ""


def _left(timeout: float | None) -> float | None:
    """Return the rest of the time, if it is less than `timeout`."""
    until: float | None = getattr(_due, "until", None)
    if until is None:
        return timeout
    left = until - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the answer is overdue")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connections to the addresses that were judged: the name is resolved once, here."""

    def __init__(self, allows_public: bool) -> None:
        self._backend = httpcore.SyncBackend()
        self._allows_public = allows_public

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        try:
            addresses = resolve_judged(host, port, self._allows_public)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        for address in addresses:
            try:
                return _Stream(
                    self._backend.connect_tcp(
                        address, port, _left(timeout), local_address, socket_options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _trusted_certificates() -> ssl.SSLContext:
    """Return what certificates are judged by: SSL_CERT_FILE or SSL_CERT_DIR of the environment,
    where a firm has an authority of its own, else the public authorities.

    Raises UsageError for a file that cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError too
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        raise UsageError(
            f"SSL_CERT_FILE={named}: {error.strerror or error}",
            "name a file of certificates in PEM, or unset the variable",
        ) from error


class TimedTransport(httpx.HTTPTransport):
    """Transport without proxies, with any number of connections and a limit for each answer.

    A connection to a public address raises `hosts.PublicAddress`, unless `allows_public`.
    Certificates are read only for a server with https (`is_secure`); UsageError where they cannot.
    """

    def __init__(self, allows_public: bool = False, is_secure: bool = False) -> None:
        context = _trusted_certificates() if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(verify=context, trust_env=False)  # without one, httpx reads certificates
        # httpx accepts no network backend, so its pool is replaced by one that does (a test sends
        # headers slowly to verify it)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context if is_secure else None,
            max_connections=None,
            max_keepalive_connections=None,
            network_backend=_Backend(allows_public),
        )
