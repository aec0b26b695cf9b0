"""Model files: their digest, whether they are still the ones that were hashed, and what their heads
say of the memory for contexts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """What tells a file from another one that was put in its place, or written over it."""

    device: int
    inode: int
    size: int
    changed_ns: int


def identity(path: Path) -> Identity:
    """That of the file that `path` names now. Raises OSError where there is none."""
    return _identity(path.stat())


def sha256_of_file(path: Path) -> tuple[str, Identity]:
    """The digest of a file, and whose it is.

    A file that is written to meanwhile is another one afterwards.
    """
    with path.open("rb") as file:
        whose = _identity(os.fstat(file.fileno()))
        return hashlib.file_digest(file, "sha256").hexdigest(), whose


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
