"""The uploaded files of a data folder: their facts in the database, their bytes beside it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from finops_cli.service.store.database import Connection

_FIELDS = (
    "id, created, who AS by, name, media_type, bytes, sha256, stored_bytes, stored_sha256, lines,"
    " masked_lines, deleted"
)


class StoredFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The facts of an uploaded file."""

    id: str
    created: str
    by: str
    """The owner of the token."""
    name: str
    """As it was given, without personal data; empty if none was given."""
    media_type: str
    bytes: int
    """Bytes that were sent."""
    sha256: str
    """Of the bytes that were sent."""
    stored_bytes: int
    stored_sha256: str
    """Of the bytes that are kept, in which personal data is masked."""
    lines: int
    masked_lines: int
    """Lines in which something was masked."""
    deleted: str | None = None
    """The moment; the bytes are gone since."""


def files_folder(data: Path) -> Path:
    """Return the folder of the uploaded files."""
    return data / "files"


def insert_file(connection: Connection, file: StoredFile) -> None:
    """Add an uploaded file."""
    connection.execute(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        (
            *(file.id, file.created, file.by, file.name, file.media_type, file.bytes),
            *(file.sha256, file.stored_bytes, file.stored_sha256, file.lines, file.masked_lines),
        ),
    )


def read_file(connection: Connection, id: str) -> StoredFile | None:
    """Return the facts of a file, a deleted one too; None for an unknown id."""
    query = f"SELECT {_FIELDS} FROM files WHERE id = ?"  # noqa: S608 - no value is in the text
    row = connection.execute(query, (id,)).fetchone()
    return None if row is None else StoredFile(**dict(row))


def list_files(connection: Connection, at_most: int = 100) -> list[StoredFile]:
    """Return the files that are kept, the newest first."""
    query = (
        f"SELECT {_FIELDS} FROM files WHERE deleted IS NULL"  # noqa: S608 - the same
        " ORDER BY created DESC, id LIMIT ?"
    )
    return [StoredFile(**dict(row)) for row in connection.execute(query, (at_most,))]


def mark_deleted(connection: Connection, id: str, at: str) -> None:
    """Record that the bytes of a file are gone."""
    connection.execute("UPDATE files SET deleted = ? WHERE id = ?", (at, id))


def is_in_use(connection: Connection, id: str, states: tuple[str, ...]) -> bool:
    """Return true if a job in one of `states` reads the file."""
    places = ", ".join("?" * len(states))
    query = (
        "SELECT 1 FROM jobs WHERE (input = ? OR options LIKE '%' || ? || '%')"  # noqa: S608 - the same
        f" AND state IN ({places}) LIMIT 1"
    )
    return connection.execute(query, (id, id, *states)).fetchone() is not None
