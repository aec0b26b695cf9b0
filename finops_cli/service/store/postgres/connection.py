"""A connection to PostgreSQL that reads the statements of the store (`database.Connection`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from finops_cli import extras
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.service.store.database import DatabaseLost

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS = 5
_REACH = (
    "start the database, or correct its name, user or password in --store; `createdb` makes one"
)
_ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that went away without a word is noticed after half a minute."""
_SETTINGS = (
    "SET TIME ZONE 'UTC'",
    "SET statement_timeout = '30s'",
    "SET lock_timeout = '20s'",
    # a decision that was acknowledged is there after a crash
    (
        "SELECT set_config('synchronous_commit', 'on', false) WHERE"
        " current_setting('synchronous_commit') = 'off'"
    ),
)
_NO_CHARACTER, _REPLACED = "\0", "\ufffd"
_POSTGRES_ONLY = "/*postgres:"


class PostgresRow:
    """A row whose values are found by name and by place, as those of SQLite."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: dict[str, int], values: Sequence[Any]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, key: Any) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        return self._places


class Address(NamedTuple):
    """Where a PostgreSQL database is."""

    given: str
    """As it was given. It may hold a password."""
    shown: str
    """Without user and password, for messages."""
    password: str

    def hide_password(self, text: str) -> str:
        """Return a message of the server or of its library without the password."""
        said = " ".join(text.split())
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            said = said.replace(secret, "***")
        return said


def read_address(given: str) -> Address:
    """Read the value of --store.

    Raises MissingPiece where psycopg is not installed, and UsageError for a text that is no
    address; the message does not repeat it.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise MissingPiece("--store needs psycopg", extras.cure("serve-pg")) from error
    try:
        parts = conninfo_to_dict(given)
    except ProgrammingError:  # its message may hold the password
        raise UsageError(
            "--store: not the address of a PostgreSQL database."
            " Expected postgresql://USER@HOST:PORT/NAME.",
            "write % and other special characters of a password as %25 and so on, or keep the"
            " password in the file ~/.pgpass",
        ) from None
    host = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"
    shown = f"postgresql://{host}/{parts.get('dbname') or ''}"
    return Address(given, shown, str(parts.get("password") or ""))


class PostgresConnection:
    """An open connection, without a transaction of its own."""

    def __init__(self, address: Address) -> None:
        """Connect. Raises psycopg.OperationalError."""
        import psycopg

        self._raw = psycopg.connect(
            address.given,
            autocommit=True,
            row_factory=_open_rows,
            connect_timeout=_CONNECT_SECONDS,
            client_encoding="UTF8",
            application_name="finops",
            **_ALIVE,
        )
        for setting in _SETTINGS:
            self._raw.execute(setting)

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[PostgresRow]:
        """Run a statement, with a value for each `?`."""
        return self._raw.execute(translate(statement), _adapt(values))

    def executemany(
        self, statement: str, values: Iterable[Sequence[Any]], /
    ) -> psycopg.Cursor[PostgresRow]:
        """Run a statement once for each row of values."""
        cursor = self._raw.cursor()
        cursor.executemany(translate(statement), [_adapt(row) for row in values])
        return cursor

    def run_script(self, statements: str) -> None:
        """Run statements that have no values."""
        self._raw.execute(statements)

    def close(self) -> None:
        """Close it. An open transaction is undone."""
        self._raw.close()

    @property
    def server_version(self) -> int:
        """Return the version of the server, such as 150018."""
        return int(self._raw.info.server_version)


@lru_cache(256)
def translate(statement: str) -> Any:
    """Return a statement of the store as psycopg reads it: `%s` for `?`, `%%` for `%`."""
    head, mark, rest = statement.partition(_POSTGRES_ONLY)
    if mark:
        only, _, tail = rest.partition("*/")
        statement = head + only + tail
    return statement.replace("%", "%%").replace("?", "%s")


def name_fault(address: Address, error: Exception, *, is_open: bool = True) -> Exception:
    """Return the error of the service for one of the database; another error as it is.

    `is_open` False: the first connection, whose fault ends the command.
    """
    import psycopg
    from psycopg import errors

    from finops_cli.errors import Unfinished

    said = f"{address.shown}: {address.hide_password(str(error))}"
    if isinstance(error, errors.DiskFull):
        return Unfinished(said, "free some space on the disk of the database")
    lost = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction)
    if isinstance(error, lost):
        return DatabaseLost(said, _REACH if not is_open else "send it again")
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseLost(said, "let the user of --store create and change tables")
    return error


def _adapt(values: Sequence[Any]) -> list[Any]:
    """Return values as the columns take them: numbers for booleans, texts without NUL."""
    return [
        int(value)
        if isinstance(value, bool)
        else value.replace(_NO_CHARACTER, _REPLACED)
        if isinstance(value, str)
        else value
        for value in values
    ]


def _open_rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], PostgresRow]:
    places = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: PostgresRow(places, values)
