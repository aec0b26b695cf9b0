"""Copies the data of a service, also while it runs. A copy is a data folder: `--data COPY`."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from finops_cli.errors import UsageError
from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.service.config import RULES_FOLDER
from finops_cli.service.store.audit import BrokenChain, verify
from finops_cli.service.store.heads import HEADS_FILE
from finops_cli.service.store.sqlite import DATABASE_FILE, open_to_read

_FOLDERS = ("files", "jobs", RULES_FOLDER)


class Backup(NamedTuple):
    """What was copied."""

    files: int
    bytes: int
    entries: int
    """Entries of the audit log, whose chain was verified in the copy."""


def find_database(data: Path) -> Path:
    """Return the database of a data folder. Raises UsageError where there is none."""
    path = data / DATABASE_FILE
    if not path.is_file():
        raise UsageError(
            f"--data {data}: holds no data of finops serve", "give the --data of the service"
        )
    return path


def back_up(data: Path, target: Path) -> Backup:
    """Copy a data folder to the new folder `target`.

    The database comes first, as it is at one moment; outputs only grow afterwards. Raises
    UsageError where there is no data, or where `target` holds something.
    """
    source = find_database(data)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: holds something already", "give a new folder")
    if target.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"{target}: is inside {data}", "give a folder outside")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = target / DATABASE_FILE
    os.close(for_owner_unlinked(str(copy), os.O_WRONLY))
    with closing(open_to_read(source)) as given, closing(sqlite3.connect(copy)) as taken:
        given.backup(taken)
    files = size = 0
    for folder in _FOLDERS:
        (target / folder).mkdir(mode=0o700)
        for path in sorted((data / folder).rglob("*")) if (data / folder).is_dir() else ():
            size += _copy(path, target / path.relative_to(data))
            files += path.is_file()
    heads = data / HEADS_FILE
    if heads.is_file():
        size += _copy(heads, target / HEADS_FILE)
        files += 1
    with closing(open_to_read(copy)) as connection:
        entries = verify(connection)
    if isinstance(entries, BrokenChain):
        raise UsageError(
            f"{target}: entry {entries.seq} of the audit log {entries.reason}",
            "look at it with finops serve verify-audit; the copy is complete",
        )
    return Backup(files + 1, size + copy.stat().st_size, entries)


def _copy(path: Path, target: Path) -> int:
    """Copy a file for its owner alone, or make a folder; return the bytes."""
    if path.is_dir():
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with path.open("rb") as given, open(target, "xb", opener=for_owner_unlinked) as out:
            shutil.copyfileobj(given, out)
    except FileNotFoundError:  # deleted meanwhile: its row in the copy says that it should be there
        return 0
    return target.stat().st_size
