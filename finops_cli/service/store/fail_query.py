"""Pages of the queue: keyset paging, so that page 900 costs what page 1 costs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.service.store.database import Connection, Row
from finops_cli.service.store.decisions import State, read_states
from finops_cli.service.store.fails import SEVEREST_FIRST, FailRow, mark_bits, row_of
from finops_cli.service.store.jobs import job_number

Order = Literal["score", "rank"]
"""score: the highest score first, then fewer days. rank: the order of `finops list`."""
ORDERS: tuple[Order, ...] = get_args(Order)
DecidedWord = Literal["none", "accepted", "overridden", "proposed", "closed", "any"]
DECIDED: tuple[DecidedWord, ...] = get_args(DecidedWord)
_COLUMNS = {"score": "by_score", "rank": "by_rank"}
_PART = 1000
_MOST_NUMBER = 2**63 - 1
"""The largest number that a column holds."""
_LAST_CHARACTER = "\U0010ffff"
_ESCAPED = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
_DECIDED_STATES: dict[str, str] = {
    "accepted": "decision = 'accepted'",
    "overridden": "decision = 'overridden'",
    "proposed": "has_proposal = 1",
    "closed": "is_closed = 1",
    "any": "(decision IS NOT NULL OR has_proposal = 1 OR is_closed = 1)",
}

_OF_STATES = "id IN (SELECT f.id FROM states s CROSS JOIN fails f WHERE f.key = s.key AND {})"
"""The fails of some states. CROSS JOIN: SQLite begins with the states, which are few."""


class BadCursor(ValueError):
    """The text is not the cursor of a page."""


class Place(NamedTuple):
    """The place of a row in an order of the queue."""

    by: int
    """The number of the row in that order."""
    fail_id: str
    id: int


class FailFilter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fails that a page shows. An empty tuple and None take every fail."""

    tiers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Any of these marks (`fails.FLAGS`)."""
    changes: tuple[str, ...] = ()
    """Any of these differences to the queue before (`fails.CHANGES`)."""
    has_residual: bool | None = None
    """True: only fails with shares that nothing covers."""
    cusip: str | None = None
    """The beginning of it."""
    counterparty: str | None = None
    """The DTC participant."""
    within_days: int | None = None
    """At most this number of settlement days to the deadline; 0: due today or overdue."""
    text: str | None = None
    """A part of the `fail_id`; lower and upper case are the same."""
    assignee: str | None = None
    decided: DecidedWord | None = None

    def conditions(self, job: str) -> tuple[str, list[Any]]:
        """Return the condition of a query on `fails` and its values."""
        # the sign lets SQLite begin with the fails of the states, which are few
        parts: list[str] = ["+job = ?" if self._is_by_state else "job = ?"]
        values: list[Any] = [job_number(job)]
        lists: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("tier", tuple(_tier_number(each) for each in self.tiers)),
            ("category", self.categories),
            ("action", self.actions),
            ("status", self.statuses),
        )
        for column, wanted in lists:
            if wanted:
                parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += wanted
        if self.cusip is not None:
            parts.append("cusip >= ? AND cusip < ?")
            values += [self.cusip, self.cusip + _LAST_CHARACTER]
        if self.counterparty is not None:
            parts.append("counterparty = ?")
            values.append(self.counterparty)
        if self.within_days is not None:
            parts.append("days_left <= ?")
            values.append(self.within_days)
        if self.changes:
            parts.append("marks >= 256")  # the condition of an index
        for names in (self.flags, self.changes):
            if names:
                parts.append("marks & ? <> 0")
                values.append(mark_bits(names))
        if self.has_residual is not None:
            parts.append("residual > 0" if self.has_residual else "coalesce(residual, 0) = 0")
        if self.text is not None:
            parts.append(r"lower(fail_id) LIKE ? ESCAPE '\'")
            values.append(f"%{_lower(self.text).translate(_ESCAPED)}%")
        if self.assignee is not None:
            parts.append(_OF_STATES.format("assignee = ?"))
            values.append(self.assignee)
        if self.decided is not None:
            parts.append(_decided_condition(self.decided))
        return " AND ".join(parts), values

    @property
    def is_selective(self) -> bool:
        """Return true if few fails are left: they are found first and put in order then.

        Else the fails are read in order until the page is full.
        """
        return self._is_by_state or self.cusip is not None or self.counterparty is not None

    @property
    def has_people(self) -> bool:
        """Return true if the fails that the filter takes change with what people do."""
        return self.decided is not None or self.assignee is not None

    @property
    def _is_by_state(self) -> bool:
        return self.decided not in (None, "none") or self.assignee is not None


class FailPage(Struct, frozen=True, kw_only=True):
    """Fails of the queue, and where the next page begins."""

    rows: list[FailRow]
    states: dict[str, State]
    """What was decided, by key; a fail that nobody touched has none."""
    next: str | None
    """The cursor of the next page; None after the last."""
    first: str | None = None
    """The cursor of the first row, for the page before it; None for an empty page."""


EVERY_FAIL = FailFilter()


def read_page(
    connection: Connection,
    job: str,
    wanted: FailFilter = EVERY_FAIL,
    *,
    order: Order = "score",
    cursor: str | None = None,
    at_most: int = 100,
    backwards: bool = False,
    skip: int = 0,
) -> FailPage:
    """Return a page of the fails of `job` that `wanted` takes. Raises BadCursor.

    `backwards`: the page that ends before the cursor. `skip`: rows to leave out before the page, at
    most as many as lie between two known places (`fails.queue_index`), whatever the place is.
    """
    column = _COLUMNS[order]
    where, values = wanted.conditions(job)
    if cursor is not None:
        where += f" AND ({column}, fail_id, id) {'<' if backwards else '>'} (?, ?, ?)"
        values += _read_cursor(cursor, order)
    # the sign keeps SQLite from reading all fails in order, to find the few that are wanted
    sign, down = "+" if wanted.is_selective else "", " DESC" if backwards else ""
    query = (
        f"SELECT * FROM fails WHERE id IN (SELECT id FROM fails WHERE {where}"  # noqa: S608 - no value is in the text
        f" ORDER BY {sign}{column}{down}, fail_id{down}, id{down} LIMIT ? OFFSET ?)"
        f" ORDER BY {column}, fail_id, id"
    )
    found = connection.execute(query, [*values, at_most + 1, skip]).fetchall()
    shown = found[-at_most:] if backwards else found[:at_most]
    rows = [row_of(row) for row in shown]

    def cursor_of(row: Row) -> str:
        return _write_cursor(order, row[column], row["fail_id"], row["id"])

    has_more = backwards or len(found) > at_most
    return FailPage(
        rows=rows,
        states=read_states(connection, [row.key for row in rows]),
        next=cursor_of(shown[-1]) if shown and has_more else None,
        first=cursor_of(shown[0]) if shown else None,
    )


def hop(
    connection: Connection,
    job: str,
    wanted: FailFilter,
    order: Order,
    after: Place | None,
    rows: int,
) -> Place | None:
    """Return the place of the row that is `rows` rows after a place; None beyond the end.

    `after` None: counted from the beginning. The cost follows from `rows`, not from the place.
    """
    column = _COLUMNS[order]
    where, values = wanted.conditions(job)
    if after is not None:
        where += f" AND ({column}, fail_id, id) > (?, ?, ?)"
        values += after
    row = connection.execute(
        f"SELECT {column}, fail_id, id FROM fails WHERE {where}"  # noqa: S608 - the same
        f" ORDER BY {column}, fail_id, id LIMIT 1 OFFSET ?",
        [*values, rows - 1],
    ).fetchone()
    return None if row is None else Place(*row)


def list_places(
    connection: Connection, job: str, wanted: FailFilter, order: Order, step: int | None = None
) -> list[Place]:
    """Return the places of the rows that `wanted` takes, in order; with `step`, of each step-th.

    It reads all of them: for a filter that takes few fails.
    """
    column = _COLUMNS[order]
    where, values = wanted.conditions(job)
    rows = connection.execute(
        f"SELECT {column}, fail_id, id FROM (SELECT {column}, fail_id, id, row_number() OVER"  # noqa: S608 - the same
        f" (ORDER BY +{column}, fail_id, id) AS number FROM fails WHERE {where}) AS numbered"
        " WHERE number % ? = 0 ORDER BY number",
        [*values, step or 1],
    )
    return [Place(*row) for row in rows]


def write_cursor(order: Order, place: Place) -> str:
    """Return the cursor of the page after a place."""
    return _write_cursor(order, *place)


def stream_fails(
    connection: Connection, job: str, wanted: FailFilter, order: Order
) -> Iterator[FailRow]:
    """Yield every fail of `job` that `wanted` takes, in order; a part at a time."""
    where, values = wanted.conditions(job)
    column = _COLUMNS[order]
    place: tuple[Any, ...] = (-1, "", 0)
    query = (
        f"SELECT * FROM fails WHERE {where} AND ({column}, fail_id, id) > (?, ?, ?)"  # noqa: S608 - the same
        f" ORDER BY {column}, fail_id, id LIMIT {_PART}"
    )
    while rows := connection.execute(query, [*values, *place]).fetchall():
        yield from map(row_of, rows)
        place = (rows[-1][column], rows[-1]["fail_id"], rows[-1]["id"])


def count_fails(
    connection: Connection, job: str, wanted: FailFilter = EVERY_FAIL
) -> dict[str, dict[str, int]]:
    """Count the fails that `wanted` takes, by tier, category and status."""
    where, values = wanted.conditions(job)
    counts: dict[str, dict[str, int]] = {}
    for column in ("tier", "category", "status"):
        query = f"SELECT {column}, count(*) FROM fails WHERE {where} GROUP BY {column}"  # noqa: S608 - the same
        counts[column] = {
            _tier_name(value) if column == "tier" else value: count
            for value, count in connection.execute(query, values)
            if value is not None and (column != "tier" or value < len(SEVEREST_FIRST))
        }
    counts["total"] = {"fails": sum(counts["status"].values())}
    return counts


def count_rows(connection: Connection, job: str, wanted: FailFilter = EVERY_FAIL) -> int:
    """Count the fails that `wanted` takes."""
    if wanted.decided == "none":  # what is decided is little, and has an index
        every, decided = replace(wanted, decided=None), replace(wanted, decided="any")
        return count_rows(connection, job, every) - count_rows(connection, job, decided)
    where, values = wanted.conditions(job)
    query = f"SELECT count(*) AS count FROM fails WHERE {where}"  # noqa: S608 - the same
    return int(connection.execute(query, values).fetchone()["count"])


def _decided_condition(word: DecidedWord) -> str:
    if word == "none":
        return f"key NOT IN (SELECT key FROM states WHERE {_DECIDED_STATES['any']})"  # noqa: S608 - the same
    return _OF_STATES.format(_DECIDED_STATES[word])


def _lower(text: str) -> str:
    """Return the text with the letters from A to Z in lower case, as `lower` of the database."""
    return text.encode().lower().decode()


def _tier_number(name: str) -> int:
    return SEVEREST_FIRST.index(name)


def _tier_name(number: int) -> str:
    return SEVEREST_FIRST[number]


def _write_cursor(order: Order, *place: Any) -> str:
    text = msgspec.json.encode([order, *place])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _read_cursor(cursor: str, order: Order) -> list[Any]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found = msgspec.json.decode(text, type=tuple[str, int, str, int])
    except (ValueError, *UNREADABLE) as error:
        raise BadCursor(cursor) from error
    if found[0] != order or any(abs(each) > _MOST_NUMBER for each in (found[1], found[3])):
        raise BadCursor(cursor)
    return list(found[1:])
