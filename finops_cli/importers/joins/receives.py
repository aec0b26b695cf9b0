"""Receives of the same file: they become `ftrs` and `related_fails` of the deliveries in a CUSIP.

The first pass over a file indexes its receives on disk, the second one adds them to its deliveries
(kb: `join.receives`, `join.receives_max`, `join.record_wins`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord, RelatedFail
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.joins.origin import explain
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.classification import category, is_offset
from finops_cli.rules.deadlines import has_delivery_obligation

_INSERT = "INSERT INTO receives VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = (
    "SELECT name, is_source, ftr, related FROM receives WHERE cusip = ?"
    " ORDER BY age DESC, qty DESC, dtc, rowid LIMIT ?"
)
_COUNT = "SELECT count(*) FROM receives WHERE cusip = ?"


class ReceivesIndex:
    """The receives of a file by CUSIP, on disk."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._most = kb.joins.receives_max
        self._table = TemporaryTable(
            "CREATE TABLE receives (cusip TEXT, age INTEGER, qty INTEGER, dtc TEXT, name TEXT,"
            " is_source INTEGER, ftr BLOB, related BLOB)",
            "CREATE INDEX by_cusip ON receives (cusip, age, qty)",
        )
        self._cusips: set[str] = set()
        self.receives = 0
        self.joined = 0
        """Deliveries that got a receive."""

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
        kind = category(record)
        is_source = kind not in ("DK_DISPUTE", "CA_EVENT")
        ftr = {
            "dtc": record.counterparty,
            "qty": record.qty,
            "age_days": record.age_days,
            "cp_fail_rate_pct": record.cp_fail_rate_pct,
        }
        related = RelatedFail(
            category=kind,
            dtc=record.counterparty,
            qty=record.qty,
            side=record.side,
            age_days=record.age_days,
        )
        self._table.insert(
            _INSERT,
            (
                record.cusip,
                record.age_days,
                record.qty,
                record.counterparty,
                name,
                is_source,
                exact_json.encode(ftr),
                msgspec.json.encode(related),
            ),
        )
        self._cusips.add(record.cusip)
        self.receives += 1

    def has(self, cusip: object) -> bool:
        """Return true where the file has a receive in `cusip`. Memory: a text for each CUSIP."""
        return cusip in self._cusips

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
        rows = self._table.select(_SELECT, (fail.cusip, self._most))
        lists = {
            "ftrs": [exact_json.decode(ftr) for _, is_source, ftr, _ in rows if is_source],
            "related_fails": [msgspec.json.decode(related) for *_, related in rows],
        }
        found = {name: lists[name] for name in wanted if lists[name]}
        if not found:
            return False
        record.update(found)
        self.joined += 1
        total = len(rows)
        if total == self._most:
            [(total,)] = self._table.select(_COUNT, (fail.cusip,))
        source = {"from": [name for name, *_ in rows], "left_out": total - len(rows)}
        for name in found:
            explain(record, name, source)
        return True
