"""Import the `ollama` package whatever the environment says.

The package opens a client when it is imported, for its functions without an address. That client
reads OLLAMA_HOST, the proxies and the certificates of the environment, and a value that it cannot
use ends the import. finops gives each of its own clients an address, and uses none of these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from types import ModuleType

_PACKAGE = "ollama"
_NAMES = ("OLLAMA_HOST", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_lock = Lock()


def import_ollama() -> ModuleType:
    """Return the `ollama` package."""
    with _lock:
        if _PACKAGE in sys.modules:
            return sys.modules[_PACKAGE]
        with _without_variables():
            return import_module(_PACKAGE)


@contextmanager
def _without_variables() -> Iterator[None]:
    """Hide the variables that the package's own client would read."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name in _NAMES or name.lower().endswith("_proxy")
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
