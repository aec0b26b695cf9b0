"""A way to PostgreSQL that loses the answer to one commit: it is stored, and nobody hears it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

_SOCKET = ".s.PGSQL.5432"
_CHUNK = 65_536
_COMMITTED = b"COMMIT\0"
"""The tag that the server answers a COMMIT with."""


class LossyPostgres:
    """A Unix socket before that of a server, for a `with` statement.

    The first connection that sends `text`, and then gets the answer to a COMMIT, is cut before that
    answer.
    """

    def __init__(self, server: Path, text: bytes) -> None:
        self.has_lost = threading.Event()
        self._server, self._text = server, text
        self._folder = TemporaryDirectory(prefix="finops-lossy-")  # the path of a socket is short
        self._door = socket.socket(socket.AF_UNIX)

    def address(self, store: str) -> str:
        """Return the value of --store for a database of the server that is reached this way."""
        return store.replace(str(self._server), self._folder.name)

    def __enter__(self) -> Self:
        self._door.bind(f"{self._folder.name}/{_SOCKET}")
        self._door.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with suppress(OSError):  # the door is closed
            while True:
                client, _ = self._door.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server / _SOCKET))
                has_text = threading.Event()
                for pass_on in (self._pass_requests, self._pass_answers):
                    threading.Thread(
                        target=pass_on, args=(client, server, has_text), daemon=True
                    ).start()

    def _pass_requests(
        self, client: socket.socket, server: socket.socket, has_text: threading.Event
    ) -> None:
        with suppress(OSError):  # the other side is gone
            while data := client.recv(_CHUNK):
                if self._text in data:
                    has_text.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _pass_answers(
        self, client: socket.socket, server: socket.socket, has_text: threading.Event
    ) -> None:
        with client, server, suppress(OSError):
            while data := server.recv(_CHUNK):
                if has_text.is_set() and _COMMITTED in data and not self.has_lost.is_set():
                    self.has_lost.set()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
