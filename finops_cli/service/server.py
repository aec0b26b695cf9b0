"""Runs the service until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import uvicorn

from finops_cli.errors import UsageError
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.app import Service
from finops_cli.service.config import ServeConfig
from finops_cli.service.deadlines import DeadlineProtocol, deadline_protocol

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 1024
_FLUSH_SECONDS = 5
"""How long the clients may read the rest of answers that the end of a stop has cut."""


class SecondInterrupt(Exception):
    """The user interrupted the service twice, and does not want to wait."""


def listen(config: ServeConfig) -> socket.socket:
    """Open the socket of the service. Raises UsageError for an address that cannot be used."""
    if config.socket is not None:
        return _listen_on_path(config.socket)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((config.host, config.port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise UsageError(
            f"--host {config.host} --port {config.port}: {error.strerror or error}",
            "give another port: --port 0 takes a free one",
        ) from error
    return opened


def _listen_on_path(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(path))
        path.chmod(0o600)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise UsageError(f"--uds {path}: {error.strerror or error}", "give another path") from error
    return opened


def serve(
    service: Service, config: ServeConfig, opened: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C, then end what is in work. Raises SecondInterrupt."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_serve(service, config, opened, on_ready))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loop; None on Windows, which it does not know."""
    if find_spec("uvloop") is None:
        return None
    from uvloop import new_event_loop

    return new_event_loop


async def _serve(
    service: Service, config: ServeConfig, opened: socket.socket, on_ready: Callable[[], None]
) -> None:
    settings = service.answering.kb.serve
    server = _Server(_uvicorn_config(service, config, settings))
    loop = asyncio.get_running_loop()
    stops = 0
    task = asyncio.current_task()

    def stop() -> None:
        nonlocal stops
        stops += 1
        service.load.is_stopping = True
        server.should_exit = True
        if stops > 1 and task is not None:
            task.cancel()
        elif stops == 1:
            loop.call_later(settings.times["drain"], end)

    def end() -> None:
        service.load.is_ending = True
        server.end_answers()
        loop.call_later(_FLUSH_SECONDS, server.drop_connections)

    for each in _SIGNALS:
        loop.add_signal_handler(each, stop)
    try:
        await service.start()
        ready = asyncio.create_task(_when_started(server, on_ready))
        await server.serve(sockets=[opened])
        await ready
    except asyncio.CancelledError as error:
        raise SecondInterrupt from error
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
        await service.stop()
        service.answering.close()


async def _when_started(server: uvicorn.Server, on_ready: Callable[[], None]) -> None:
    while not server.started and not server.should_exit:
        await asyncio.sleep(0.01)
    if server.started:
        on_ready()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the service stops in its own order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end_answers(self) -> None:
        """End what is in work: an answer that has begun after a whole line, others with 503."""
        for each in list(self.server_state.connections):
            if isinstance(each, DeadlineProtocol):
                each.end_answer()
        for task in list(self.server_state.tasks):
            task.cancel()

    def drop_connections(self) -> None:
        """Close the connections of clients that do not read the end of their answers."""
        for each in list(self.server_state.connections):
            if each.transport is not None:
                each.transport.abort()


def _uvicorn_config(
    service: Service, config: ServeConfig, settings: ServeSettings
) -> uvicorn.Config:
    times = settings.times
    given = uvicorn.Config(
        service.app,
        http=deadline_protocol(settings),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",  # anybody could fill the log with bytes that are not HTTP
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=times["drain"] + 2 * _FLUSH_SECONDS,  # `end` comes before
        proxy_headers=config.behind_proxy is not None,
        forwarded_allow_ips=config.behind_proxy or "",
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
    )
    if config.tls_certificate is not None:
        given.ssl_version = ssl.PROTOCOL_TLS_SERVER
    return given
