"""The lines of an output, ranked, in an index on disk: memory does not grow with the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import get_args

import msgspec
from msgspec import Struct

from finops_cli.domain.enums import Tier
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.views.answers import Answer, NotALine, read_answer
from finops_cli.views.details import Plan, pack_plan, read_details, unpack_plan
from finops_cli.views.tally import Tally

_TABLE = (
    "CREATE TABLE answers (line INTEGER PRIMARY KEY, kind INTEGER, tier INTEGER, days_left INTEGER,"
    " score INTEGER, fail_id TEXT, cusip TEXT, symbol TEXT, counterparty TEXT, name TEXT,"
    " settlement_date TEXT, body BLOB, plan BLOB)"
)
_LOOKUPS = (
    "CREATE INDEX by_name ON answers (fail_id)",
    "CREATE INDEX by_facts ON answers (cusip, counterparty, settlement_date)",
)
_INSERT = "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RANKED = " ORDER BY kind, tier, days_left IS NULL, days_left, score DESC, fail_id, line"
_FACT = "json_extract(CAST(body AS TEXT), '$.{}')"
_POOL = _FACT.format("pool")
_SCALE = Decimal(10) ** 6
"""A score has at most six decimals (kb: `score.decimals`)."""
_KINDS = {"failed": 1, "rejected": 2}
"""Lines without an answer come after the others."""
_SEVEREST_FIRST = tuple(reversed(get_args(Tier)))


class Filter(Struct, frozen=True, kw_only=True):
    """The lines that a list shows. An empty tuple and None take every line."""

    tiers: tuple[str, ...] = ()
    securities: tuple[str, ...] = ()
    """CUSIPs and symbols."""
    counterparties: tuple[str, ...] = ()
    """DTC participants and names."""
    within_days: int | None = None
    """At most this number of settlement days to the deadline; 0: due today or overdue."""

    def conditions(self) -> tuple[str, list[object]]:
        """Return the condition of a query and its values."""
        parts: list[str] = []
        values: list[object] = []
        if self.tiers:
            parts.append(f"tier IN ({_places(self.tiers)})")
            values += [_SEVEREST_FIRST.index(tier) for tier in self.tiers]
        for columns, wanted in (
            (("cusip", "symbol"), self.securities),
            (("counterparty", "name"), self.counterparties),
        ):
            if wanted:
                either = " OR ".join(f"{column} IN ({_places(wanted)})" for column in columns)
                parts.append(f"({either})")
                values += [*wanted, *wanted]
        if self.within_days is not None:
            parts.append("days_left <= ?")
            values.append(self.within_days)
        return (" WHERE " + " AND ".join(parts) if parts else ""), values


EVERYTHING = Filter()


class AnswerIndex:
    """The answers of one output file, in rank order: tier, days left, score, name.

    The order is the priority order of the book: tier, fewer days left (none last), higher score,
    `fail_id`.
    """

    def __init__(
        self,
        lines: Iterable[bytes],
        *,
        has_details: bool = False,
        annotate: Callable[[Answer], Answer] | None = None,
    ) -> None:
        """Read the lines of an output; with `has_details` their plans and origins too.

        `annotate` adds what was decided to each answer, right after its line was read.
        """
        self._table = TemporaryTable(_TABLE)
        self._waiting: list[tuple[object, ...]] = []
        self._has_lookups = False
        self.bad: list[NotALine] = []
        """The first lines that no run wrote."""
        self.bad_lines = 0
        self.statuses: Counter[str] = Counter()
        self.has_book = False
        """True where a line is of a plan of the whole book."""
        self.tally = Tally()
        """The sources of the lines; empty without `has_details`."""
        for number, line in enumerate(lines, start=1):
            answer = read_answer(line, number)
            if isinstance(answer, NotALine):
                self._refuse(answer)
            else:
                answer = answer if annotate is None else annotate(answer)
                self._add(answer, number, self._read_plan(line) if has_details else None)
        self._insert_waiting()

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def count(self, wanted: Filter = EVERYTHING) -> int:
        """Count the lines that `wanted` takes."""
        where, values = wanted.conditions()
        query = f"SELECT count(*) FROM answers{where}"  # noqa: S608 - no value is in the text
        [(count,)] = self._table.select(query, values)
        return int(count)

    def ranked(self, wanted: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Answer]:
        """Yield the answers that `wanted` takes, the most urgent first."""
        where, values = wanted.conditions()
        query = f"SELECT body FROM answers{where}{_RANKED} LIMIT ?"  # noqa: S608 - the same
        for (body,) in self._table.stream(query, [*values, -1 if limit is None else limit]):
            yield _DECODER.decode(body)

    def ranked_plans(
        self, wanted: Filter = EVERYTHING, limit: int | None = None
    ) -> Iterator[tuple[Answer, Plan | None]]:
        """Yield the answers with their plans, the most urgent first. Needs `has_details`."""
        where, values = wanted.conditions()
        query = f"SELECT body, plan FROM answers{where}{_RANKED} LIMIT ?"  # noqa: S608 - the same
        for body, plan in self._table.stream(query, [*values, -1 if limit is None else limit]):
            yield _DECODER.decode(body), None if plan is None else unpack_plan(plan)

    def shared_pools(self, wanted: Filter = EVERYTHING) -> Iterator[Answer]:
        """Yield every fail of each pool that a fail of `wanted` shares with others.

        The order is the pool, then the place in its queue.
        """
        where, values = wanted.conditions()
        pools = f"SELECT {_POOL} FROM answers{where}"  # noqa: S608 - the same
        query = (
            f"SELECT body FROM answers WHERE {_POOL} IN ({pools})"  # noqa: S608 - the same
            f" AND {_FACT.format('of')} > 1 ORDER BY {_POOL}, {_FACT.format('place')}, line"
        )
        for (body,) in self._table.stream(query, values):
            yield _DECODER.decode(body)

    def named(self, name: str) -> list[tuple[int, Answer]]:
        """Return line number and answer of each line that is called `name`."""
        self._make_lookups()
        rows = self._table.select("SELECT line, body FROM answers WHERE fail_id = ?", (name,))
        return [(line, _DECODER.decode(body)) for line, body in rows]

    def alike(self, answer: Answer) -> list[Answer]:
        """Return the lines with the CUSIP, the counterparty and the settlement date of `answer`."""
        self._make_lookups()
        rows = self._table.select(
            "SELECT body FROM answers WHERE cusip IS ? AND counterparty IS ?"
            " AND settlement_date IS ? LIMIT 2",
            (answer.cusip, answer.counterparty, answer.settlement_date),
        )
        return [_DECODER.decode(body) for (body,) in rows]

    def _make_lookups(self) -> None:
        """Make the indexes by name and by facts; a list alone never needs them."""
        if not self._has_lookups:
            self._has_lookups = True
            for statement in _LOOKUPS:
                self._table.make(statement)

    def _insert_waiting(self) -> None:
        self._table.insert_many(_INSERT, self._waiting)
        self._waiting.clear()

    def _read_plan(self, line: bytes) -> bytes | None:
        details = read_details(line)
        self.tally.add(details)
        if details is None or details.resolution is None:
            return None
        return pack_plan(details.resolution)

    def _refuse(self, line: NotALine) -> None:
        self.bad_lines += 1
        if len(self.bad) < _SHOWN_FAULTS:
            self.bad.append(line)

    def _add(self, answer: Answer, number: int, plan: bytes | None) -> None:
        self.statuses[answer.status] += 1
        self.has_book |= answer.place is not None
        score = None if answer.score is None else int(answer.score * _SCALE)
        tier = len(_SEVEREST_FIRST) if answer.tier is None else _SEVEREST_FIRST.index(answer.tier)
        self._waiting.append(
            (
                number,
                _KINDS.get(answer.status, 0),
                tier,
                answer.days_left,
                score,
                answer.fail_id,
                answer.cusip,
                answer.symbol,
                answer.counterparty,
                answer.counterparty_name,
                answer.settlement_date,
                _ENCODER.encode(answer),
                plan,
            )
        )
        if len(self._waiting) == _BATCH_ROWS:
            self._insert_waiting()


_SHOWN_FAULTS = 5
_BATCH_ROWS = 256
"""Rows that are inserted together."""
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(Answer)


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
