"""Receives of the same file: they become `ftrs` and `related_fails` of the deliveries in a CUSIP.

They are indexed on disk before the run, and added to the deliveries as these are read
(kb: `join.receives`, `join.receives_max`, `join.record_wins`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from finops_cli.domain.fail import FailRecord
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.joins.origin import explain
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.classification import category, is_offset
from finops_cli.rules.deadlines import has_delivery_obligation

_INSERT = "INSERT INTO receives VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = (
    "SELECT name, category, dtc, qty, side, age, rate FROM receives WHERE cusip = ?"
    " ORDER BY age DESC, qty DESC, dtc, rowid LIMIT ?"
)
_BY_CUSIP = "CREATE INDEX by_cusip ON receives (cusip, age, qty)"
_BATCH_ROWS = 256
"""Rows that are written at once."""
_NO_SOURCES = ("DK_DISPUTE", "CA_EVENT")
_COUNT = "SELECT count(*) FROM receives WHERE cusip = ?"


class ReceivesIndex:
    """The receives of a file by CUSIP, on disk."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._most = kb.joins.receives_max
        self._table = TemporaryTable(
            "CREATE TABLE receives (cusip TEXT, age INTEGER, qty INTEGER, dtc TEXT, name TEXT,"
            " category TEXT, side TEXT, rate TEXT)"
        )
        self._waiting: list[tuple[Any, ...]] = []
        self._has_index = False
        """True from the first search on: to index all rows at once takes half the time."""
        self._receives: dict[str, int] = {}
        """The number of receives of each CUSIP."""
        self._joined: set[str] = set()
        """The CUSIPs of deliveries that got receives."""
        self.deliveries = 0
        """Deliveries that got a receive."""

    @property
    def has_any(self) -> bool:
        """Return true where the index has a receive."""
        return bool(self._receives)

    @property
    def joined(self) -> int:
        """Return the number of receives that deliveries got, as sources or related fails."""
        return sum(min(self._receives[cusip], self._most) for cusip in self._joined)

    def begin(self) -> None:
        """Count the deliveries and what they get from zero."""
        self.deliveries = 0
        self._joined.clear()

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def add(self, record: FailRecord, name: str) -> None:
        """Index a record that is a receive; `name` is its `fail_id` or its line.

        A disputed receive and one under a corporate action may never come: they are related fails
        and no sources. A receive that CNS has netted away is neither.
        """
        if has_delivery_obligation(record) or is_offset(record):
            return
        self._waiting.append(
            (
                record.cusip,
                record.age_days,
                record.qty,
                record.counterparty,
                name,
                category(record),
                record.side,
                str(record.cp_fail_rate_pct),
            )
        )
        if len(self._waiting) >= _BATCH_ROWS:
            self._write()
        self._receives[record.cusip] = self._receives.get(record.cusip, 0) + 1

    def has(self, cusip: object) -> bool:
        """Return true where the file has a receive in `cusip`. Memory: a text for each CUSIP."""
        return isinstance(cusip, str) and cusip in self._receives

    def add_to(self, record: dict[str, Any], fail: FailRecord) -> bool:
        """Add the receives of its CUSIP to `record`, in place; true where it got any.

        `fail` is the same record, completed and checked. Only a delivery gets receives, and only in
        the lists that it does not have itself.
        """
        if not has_delivery_obligation(fail) or is_offset(fail):
            return False
        wanted = [name for name in ("ftrs", "related_fails") if record.get(name) is None]
        if not wanted:
            return False
        self._prepare_search()
        rows = self._table.select(_SELECT, (fail.cusip, self._most))
        lists = {
            "ftrs": [_source_of(row) for row in rows if row[1] not in _NO_SOURCES],
            "related_fails": [_related_of(row) for row in rows],
        }
        found = {name: lists[name] for name in wanted if lists[name]}
        if not found:
            return False
        record.update(found)
        self.deliveries += 1
        self._joined.add(fail.cusip)
        total = len(rows)
        if total == self._most:
            [(total,)] = self._table.select(_COUNT, (fail.cusip,))
        source = {"from": [name for name, *_ in rows], "left_out": total - len(rows)}
        for name in found:
            explain(record, name, source)
        return True

    def _write(self) -> None:
        self._table.insert_many(_INSERT, self._waiting)
        self._waiting.clear()

    def _prepare_search(self) -> None:
        """Write what waits, and make the index by CUSIP at the first search."""
        if self._waiting:
            self._write()
        if not self._has_index:
            self._table.make(_BY_CUSIP)
            self._has_index = True


def _source_of(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a receive as the `ftrs` of a record have it."""
    _, _, dtc, qty, _, age_days, rate = row
    return {"dtc": dtc, "qty": qty, "age_days": age_days, "cp_fail_rate_pct": Decimal(rate)}


def _related_of(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a receive as the `related_fails` of a record have it."""
    _, kind, dtc, qty, side, age_days, _ = row
    return {"category": kind, "dtc": dtc, "qty": qty, "side": side, "age_days": age_days}
