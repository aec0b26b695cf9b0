"""Uploaded files, in a temporary folder, by their SHA-256."""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from finops_cli.devtools.fake_ollama.requests import Refusal

_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")


class Blobs:
    """The uploads of one server. The first upload makes the folder, `close` removes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = False

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        self._made = True
        return tempfile.TemporaryDirectory(prefix="finops-fake-ollama-")

    def path(self, digest: str) -> Path:
        """Return the path of a blob, which need not exist. Raises Refusal for an invalid digest."""
        if _DIGEST.fullmatch(digest) is None:
            raise Refusal(400, "invalid digest format")
        with self._lock:
            return Path(self._folder.name) / digest.replace(":", "-").lower()

    def receive(self, digest: str, blocks: Iterable[bytes]) -> bool:
        """Store an upload; return true if it is new.

        As in Ollama, an upload with another digest is refused, and stored under its own digest.
        """
        path = self.path(digest)
        if path.exists():
            for _ in blocks:
                """Read the whole body, so that the connection can go on."""
            return False
        arrived = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            for block in blocks:
                arrived.update(block)
                file.write(block)
        got = f"sha256:{arrived.hexdigest()}"
        Path(file.name).replace(self.path(got))
        if got != digest.replace("-", ":").lower():
            raise Refusal(400, f'digest mismatch, expected "{digest}", got "{got}"')
        return True

    def close(self) -> None:
        if self._made:
            self._folder.cleanup()
