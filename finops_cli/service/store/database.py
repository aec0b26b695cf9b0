"""The protocol of the service's database, for SQLite (`sqlite.py`) and PostgreSQL (`postgres`).

The statements are in the subset of SQL that both read, with `?` for a value. What only PostgreSQL
needs is in a comment that begins with `/*postgres: `, which SQLite skips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from finops_cli.errors import MissingPiece

T = TypeVar("T")


class Row(Protocol):
    """A row of a result: its values by their names and by their places."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        ...


class Result(Protocol):
    """The rows that a statement gives."""

    @property
    def rowcount(self) -> int:
        """Return how many rows the statement changed."""
        ...

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...


class Connection(Protocol):
    """A connection to the database, in a transaction of whoever gives it."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Result:
        """Run a statement, with a value for each `?`."""
        ...

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> Result:
        """Run a statement once for each row of values."""
        ...


Work = Callable[[Connection], T]
"""Statements on a connection. They run whole or not at all."""


class DatabaseLost(MissingPiece):
    """The database does not answer, or takes no changes. What was acknowledged is safe in it."""


class Database(Protocol):
    """The database of one service."""

    folder: Path
    """The folder with the files of the service."""
    address: str
    """The argument of `open_to_read` in another process. It is secret: it may hold a password."""
    is_shared: bool
    """Other services may use the database and the folder at the same time."""

    async def write(self, work: Work[T], soon: bool = True) -> T:
        """Run `work` in a transaction and return its result when it is on the disk.

        `soon` False: an import, which lets other work pass. Raises DatabaseLost.
        """
        ...

    def write_now(self, work: Work[T]) -> T:
        """Run `work` in a transaction, from a thread without an event loop. Raises DatabaseLost."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run a query and return its result. Raises DatabaseLost."""
        ...

    async def is_ready(self) -> bool:
        """Return true if the database answers, and takes changes."""
        ...

    def close(self) -> None:
        """Finish what is queued, and close the database."""
        ...
