"""Digests of large files, and the identity that shows whether a file was replaced since."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """Distinguishes a file from one that replaced it or was written over it."""

    device: int
    inode: int
    size: int
    changed_ns: int


def identity(path: Path) -> Identity:
    """Identify the file that `path` names now. Raises OSError if it names nothing."""
    return _identity(path.stat())


def sha256_of_file(path: Path) -> tuple[str, Identity]:
    """Return the SHA-256 of a file, and the identity of the file that was hashed.

    A file that is written to meanwhile has another identity afterwards.
    """
    with path.open("rb") as file:
        whose = _identity(os.fstat(file.fileno()))
        return hashlib.file_digest(file, "sha256").hexdigest(), whose


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
