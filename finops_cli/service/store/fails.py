"""The fails of a job as rows. Each of the two orders of the queue is one number of a row.

A row has what a list shows; the line itself stays in the output of the job, at `place`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from finops_cli.domain.enums import Flag, Tier
from finops_cli.service.store.database import Connection, Row
from finops_cli.service.store.jobs import WITH_FAILS, job_id, job_number, output_path
from finops_cli.views.answers import Answer
from finops_cli.views.matching import has_name

_INSERT = f"INSERT INTO fails VALUES ({', '.join('?' * 18)})"  # noqa: S608 - no value is in the text
_LINES = 2**32
"""More lines than any file has: the id of a row is that of its job times this, plus its line."""
_PART_ROWS = 1_000
SEVEREST_FIRST: tuple[str, ...] = tuple(reversed(get_args(Tier)))
_KINDS = {"failed": 1, "rejected": 2}
"""Lines without an answer come after the others."""
_SCALE = Decimal(10) ** 6
"""A score has at most six decimals (kb: `score.decimals`)."""
_SCORE_BITS, _DAYS_BITS, _TIER_BITS = 28, 16, 3
_MOST_SCORE = (1 << _SCORE_BITS) - 1
_MOST_DAYS = (1 << _DAYS_BITS) - 1
_NO_DAYS = _MOST_DAYS
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(Answer)
_BETWEEN = "\x1f"
_MASKED = "["
"""The beginning of a placeholder, such as [EMAIL]: two names may have become one."""


FLAGS: tuple[str, ...] = (
    *get_args(Flag),
    "WARNING",  # the record contradicts itself
    "PROMISED_BEFORE",  # earlier lines promise the same shares
    "ASSUMED",  # fields of the record were assumed
)
"""The marks of a fail; each has a bit of the column `marks`."""
CHANGES = ("NEW", "RAISED", "EASED", "GONE")
"""What is not as in the queue before: a fail that came, whose tier rose or fell; and one of that
queue which is not in the next.
"""
_MARKS = (*FLAGS, *CHANGES)


def mark_bits(names: Iterable[str]) -> int:
    """Return the marks called `names` as bits. Their places never change."""
    return sum(1 << _MARKS.index(name) for name in names)


class Place(NamedTuple):
    """The place of a line in the output of its job."""

    line: int
    """Counted from 1."""
    start: int
    length: int


class FailRow(NamedTuple):
    """A fail of the queue."""

    id: str
    job: str
    key: str
    """What its decisions belong to: the same fail in a later job has the same key."""
    answer: Answer
    place: Place


class _NewRow(NamedTuple):
    key: str
    has_name: bool
    tier: int
    values: tuple[object, ...]
    """The columns before those of the marks and of the residual."""
    marks: int
    residual: int | None


class NewFails:
    """Lines of the output of a job as rows of the queue, marked with what changed since the last.

    All that can be done before the transaction is done before it: decisions wait while it is open.
    """

    def __init__(self, job: str, answers: Iterable[tuple[Answer, Place]]) -> None:
        """Make the rows, without a database."""
        self._job = job_number(job)
        self._rows = [_new_row(self._job, answer, place) for answer, place in answers]
        self._before: int | None = None
        self._changes: list[int] | None = None

    def compare(self, connection: Connection) -> None:
        """Compare with the queue before the job. It needs no transaction."""
        self._before = queue_before(connection, self._job)
        tiers = {}
        if self._before is not None:
            tiers = _read_tiers(connection, self._before, [row.key for row in self._rows])
        self._changes = [self._change(row, tiers.get(row.key)) for row in self._rows]

    def insert(self, connection: Connection) -> None:
        """Add the rows. Where the queue before is another by now, they are compared with that."""
        if self._changes is None or queue_before(connection, self._job) != self._before:
            self.compare(connection)
        pairs = zip(self._rows, self._changes or (), strict=True)
        connection.executemany(
            _INSERT,
            [(*row.values, row.marks | change, row.residual) for row, change in pairs],
        )

    def _change(self, row: _NewRow, before: int | None) -> int:
        """Return how a fail differs from what it was, as a mark; 0 where it does not.

        A fail that is known by its place only cannot be found again, so it is never new.
        """
        if self._before is None:
            return 0
        if before is None:
            return mark_bits(("NEW",)) if row.has_name else 0
        if before == row.tier or len(SEVEREST_FIRST) in (before, row.tier):
            return 0
        return mark_bits(("RAISED",) if row.tier < before else ("EASED",))


def _read_tiers(connection: Connection, job: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the tiers that some fails have in a job.

    `+job` keeps the planner of SQLite from an index that begins with the job: it would read all of
    the job's rows for each chunk of an import, and not the rows of the keys.
    """
    if not keys:
        return {}
    places = ", ".join("?" * len(keys))
    query = f"SELECT key, tier FROM fails WHERE key IN ({places}) AND +job = ?"  # noqa: S608 - no value is in the text
    return {row["key"]: row["tier"] for row in connection.execute(query, [*keys, job])}


def queue_before(connection: Connection, job: int) -> int | None:
    """Return the number of the last complete queue before a job; None where it is the first."""
    places = ", ".join("?" * len(WITH_FAILS))
    row = connection.execute(
        f"SELECT max(seq) AS seq FROM jobs WHERE seq < ? AND command IN ({places})"  # noqa: S608 - the same
        " AND deleted IS NULL AND state = 'completed'",
        (job, *WITH_FAILS),
    ).fetchone()
    return None if row["seq"] is None else int(row["seq"])


def mark_gone(connection: Connection, job: str, first: int, last: int) -> bool:
    """Mark the fails of the queue before `job` that are not in it, of its lines `first` to `last`.

    A fail that is known by its place only cannot be found again: it is not marked.

    Return true while that queue has later lines.
    """
    number = job_number(job)
    before = queue_before(connection, number)
    if before is None:
        return False
    bit, base = mark_bits(("GONE",)), before * _LINES
    connection.execute(
        "UPDATE fails SET marks = marks | ? WHERE id BETWEEN ? AND ? AND marks & ? = 0"
        " AND key <> ? || CAST(id - ? AS TEXT)"
        " AND NOT EXISTS (SELECT 1 FROM fails later WHERE later.key = fails.key AND later.job = ?)",
        (bit, base + first, base + last, bit, place_key(before, 0)[:-1], base, number),
    )
    row = connection.execute("SELECT max(id) AS id FROM fails WHERE job = ?", (before,)).fetchone()
    return row["id"] is not None and int(row["id"]) > base + last


def find_fail(connection: Connection, id: str, job: str | None) -> FailRow | None:
    """Return a fail by its id, such as `job-3.17`; else by its `fail_id` in `job`."""
    number = _row_number(id)
    row = None
    if number is not None:
        row = connection.execute("SELECT * FROM fails WHERE id = ?", (number,)).fetchone()
    if row is None and job is not None:
        row = connection.execute(
            "SELECT * FROM fails WHERE job = ? AND fail_id = ?"
            " ORDER BY status = 'rejected', id LIMIT 1",
            (job_number(job), id),
        ).fetchone()
    return None if row is None else row_of(row)


def same_fail(connection: Connection, key: str, at_most: int = 50) -> list[FailRow]:
    """Return the rows of one fail in all jobs, the newest first."""
    rows = connection.execute(
        "SELECT * FROM fails WHERE key = ? ORDER BY id DESC LIMIT ?", (key, at_most)
    )
    return [row_of(row) for row in rows]


def list_places(connection: Connection, job: str, status: str, at_most: int) -> list[Place]:
    """Return the places of the first lines of a job with `status` in its output."""
    rows = connection.execute(
        "SELECT id, start, length FROM fails WHERE job = ? AND status = ? ORDER BY id LIMIT ?",
        (job_number(job), status, at_most),
    )
    return [Place(row["id"] % _LINES, row["start"], row["length"]) for row in rows]


class PoolLine(NamedTuple):
    """A line of a plan of the whole book."""

    id: str
    fail_id: str
    place: Place


def find_pool_lines(
    connection: Connection, job: str, cusip: str, of: int | None = None
) -> list[PoolLine]:
    """Return the lines of a job that may draw on the sources of a security.

    `of`: the fails in its queue, where they are known. A corporate action lets a fail draw on
    another security than its own; such fails are searched for only where others do not make it up.
    """
    columns = "SELECT id, fail_id, start, length FROM fails WHERE job = ? AND cusip = ?"
    found = [_pool_line(each) for each in connection.execute(columns, (job_number(job), cusip))]
    if of is None or len(found) < of:
        pool = f'"pool":"{cusip}"'.encode()
        others = _read_other_securities(connection, job_number(job), cusip)
        found += [_pool_line(each) for each in others if pool in bytes(each["body"])]
    return found


def _read_other_securities(connection: Connection, job: int, cusip: str) -> Iterator[Row]:
    """Yield the fails of other securities, a part at a time: PostgreSQL sends a whole result."""
    query = (
        "SELECT id, fail_id, start, length, body FROM fails"
        " WHERE id > ? AND id < ? AND cusip <> ? ORDER BY id LIMIT ?"
    )
    last, end = job * _LINES, (job + 1) * _LINES
    while rows := connection.execute(query, (last, end, cusip, _PART_ROWS)).fetchall():
        yield from rows
        last = rows[-1]["id"]


def _pool_line(row: Row) -> PoolLine:
    seq, line = divmod(row["id"], _LINES)
    id = f"{job_id(seq)}.{line}"
    return PoolLine(id, row["fail_id"], Place(line, row["start"], row["length"]))


def read_fail_line(data: Path, row: FailRow) -> bytes:
    """Return the output line of a fail. Raises OSError where the output is gone."""
    with output_path(data, row.job).open("rb") as file:
        file.seek(row.place.start)
        return file.read(row.place.length)


def row_of(row: Row) -> FailRow:
    """Turn a row of the table into a fail."""
    seq, line = divmod(row["id"], _LINES)
    job = job_id(seq)
    return FailRow(
        id=f"{job}.{line}",
        job=job,
        key=row["key"],
        answer=_DECODER.decode(row["body"]),
        place=Place(line, row["start"], row["length"]),
    )


def key_of(job: int, answer: Answer, line: int) -> str:
    """Return what the decisions about a fail belong to.

    A fail keeps its key in a later job if it keeps its `fail_id`, CUSIP and counterparty. One that
    has no name of its own, or a name in which something was masked, is known by its place.
    """
    is_named = has_name(answer) and _MASKED not in answer.fail_id
    if answer.cusip is None or not is_named:
        return place_key(job, line)
    return _BETWEEN.join((answer.fail_id, answer.cusip, answer.counterparty or ""))


def place_key(job: int, line: int) -> str:
    """Return the key of a fail that nothing but its place names."""
    return f"{job}{_BETWEEN}{line}"


def _new_row(job: int, answer: Answer, place: Place) -> _NewRow:
    key, tier = key_of(job, answer, place.line), _tier_number(answer)
    kind = _KINDS.get(answer.status, 0)
    score = 0 if answer.score is None else min(int(answer.score * _SCALE), _MOST_SCORE)
    days = _days_number(answer.days_left)
    by_score = _pack((kind, 2), (_MOST_SCORE - score, _SCORE_BITS), (days, _DAYS_BITS))
    by_rank = _pack(
        (kind, 2), (tier, _TIER_BITS), (days, _DAYS_BITS), (_MOST_SCORE - score, _SCORE_BITS)
    )
    values = (
        *(job * _LINES + place.line, job, key, answer.fail_id),
        *(answer.status, tier, answer.category, answer.action, answer.cusip, answer.counterparty),
        *(answer.days_left, by_score, by_rank, place.start, place.length, _ENCODER.encode(answer)),
    )
    return _NewRow(
        key=key,
        has_name=key != place_key(job, place.line),
        tier=tier,
        values=values,
        marks=mark_bits(_list_flags(answer)),
        residual=answer.residual,
    )


def _list_flags(answer: Answer) -> Iterator[str]:
    yield from (flag for flag in answer.flags if flag in FLAGS)
    if answer.warnings:
        yield "WARNING"
    if answer.promised_before:
        yield "PROMISED_BEFORE"
    if answer.assumed is not None:
        yield "ASSUMED"


def _tier_number(answer: Answer) -> int:
    """Return the place of the tier, the severest first; fails without a tier come last."""
    return len(SEVEREST_FIRST) if answer.tier is None else SEVEREST_FIRST.index(answer.tier)


def _days_number(days: int | None) -> int:
    """Return the days as a number from 0 on: fewer days first, no days last."""
    return _NO_DAYS if days is None else max(0, min(days + _MOST_DAYS // 2, _MOST_DAYS - 1))


def _pack(*parts: tuple[int, int]) -> int:
    """Put numbers of so many bits into one, the first of them in front."""
    packed: int = 0
    for value, bits in parts:
        packed = packed << bits | value
    return packed


def _row_number(id: str) -> int | None:
    job, dot, line = id.rpartition(".")
    number = job_number(job)
    if not dot or not number or not (line.isascii() and line.isdigit()):
        return None
    place = int(line)
    return number * _LINES + place if place < _LINES else None
