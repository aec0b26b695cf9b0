"""Opens the database of a service: the one of `--store`, else SQLite in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from finops_cli.errors import UsageError
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.sqlite import DATABASE_FILE, SqliteDatabase, open_to_read

_SCHEMES = ("postgresql://", "postgres://")


def is_postgres(address: str) -> bool:
    """Return true for an address of PostgreSQL."""
    return address.startswith(_SCHEMES)


def open_database(folder: Path, store: str | None) -> Database:
    """Open the database of a service. Raises UsageError and MissingPiece."""
    if store is None:
        return SqliteDatabase(folder)
    refuse_other_address(store)
    from finops_cli.service.store.postgres.database import PostgresDatabase

    return PostgresDatabase(folder, store)


def refuse_other_address(store: str) -> None:
    """Raise UsageError unless `store` is the address of a PostgreSQL database."""
    if not is_postgres(store):
        raise UsageError(
            "--store: not the address of a PostgreSQL database."
            " Expected postgresql://USER@HOST:PORT/NAME.",
            "leave it out for SQLite in the folder of --data",
        )


def address_of(data: Path, store: str | None) -> str:
    """Return the address of the database of a service. Raises UsageError if it has none."""
    if store is not None:
        refuse_other_address(store)
        return store
    path = data / DATABASE_FILE
    if not path.is_file():
        raise UsageError(
            f"--data {data}: holds no data of finops serve", "give the --data of the service"
        )
    return str(path)


@contextmanager
def snapshot(address: str) -> Iterator[Connection]:
    """Read the database at `address` as it is at one moment, for a process that only reads it."""
    if is_postgres(address):
        from finops_cli.service.store.postgres.database import postgres_snapshot

        with postgres_snapshot(address) as shared:
            yield shared
        return
    with closing(open_to_read(Path(address))) as connection:
        connection.execute("BEGIN")
        yield connection
