"""Adds the facts of other files to a record before it is checked (kb: `join.record_wins`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from typing import Any

from finops_cli.clock.market_calendar import OutsideCalendar
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import cusip as cusips
from finops_cli.domain.finding import Problem
from finops_cli.importers.joins.counterparty_history import CounterpartyHistory
from finops_cli.importers.joins.inventory_file import InventoryFile, Pool
from finops_cli.importers.joins.origin import explain, note
from finops_cli.rules.derivation import coverage_pct
from finops_cli.verify.schemas import unusable

_NO_STOCK = {
    "box_qty": 0,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 0,
}
_COMPARED = {
    "BOX": ("box_qty",),
    "DEPOT": ("depot_qty", "depot_transit_days"),
    "RECALL": ("recall_outstanding",),
    "BORROW": ("stock_loan_available",),
}
"""The fields of a record's inventory that each kind of line states."""
_AS_OF = "--as-of DATE, or as_of in the clock_facts of the record"


@dataclass(slots=True, kw_only=True)
class RecordJoin:
    """The files of one call. `counts` says how many records got which fact."""

    history: CounterpartyHistory | None = None
    inventory: InventoryFile | None = None
    as_of: date | None = None
    """The day of `--as-of`; None: that of each record."""
    is_shared: bool = False
    """The stock is shared by all fails of a CUSIP: a record gets its coverage, and no stock."""
    counts: Counter[str] = dataclass_field(default_factory=Counter)

    def apply(self, record: dict[str, Any]) -> list[Problem]:
        """Add the facts of the files to `record`, in place, or return why it cannot be used."""
        problems = []
        if self.inventory is not None:
            problems += self._add_inventory(record, self.inventory)
        if self.history is not None:
            problems += self._add_rate(record, self.history)
        return problems

    def report(self) -> list[str]:
        """Say how many records got which facts of the files."""
        said = []
        if self.history is not None:
            said.append(_count(_RATE_COUNTS, self.counts, "counterparty history"))
        if self.inventory is not None and not self.is_shared:
            said.append(_count(_STOCK_COUNTS, self.counts, self.inventory.describe()))
        return said

    def close(self) -> None:
        """Delete the indexes of the files."""
        for each in (self.history, self.inventory):
            if each is not None:
                each.close()

    def _add_rate(self, record: dict[str, Any], history: CounterpartyHistory) -> list[Problem]:
        if record.get("cp_fail_rate_pct") is not None:
            self.counts["own rate"] += 1
            return []
        day = self.as_of or _day_of(record)
        if day is None:
            return [unusable("input.as_of", "clock_facts.as_of", "", _AS_OF)]
        try:
            rate = history.rate(str(record.get("counterparty")), day)
        except OutsideCalendar as error:
            accepted = f"a day from {error.first} to {error.last}, which the calendar covers"
            return [unusable("input.as_of", "clock_facts.as_of", day.isoformat(), accepted)]
        if rate is None:
            self.counts["no trades"] += 1
            return []
        self.counts["rate"] += 1
        record["cp_fail_rate_pct"] = rate.pct
        note(record, "derived", "cp_fail_rate_pct")
        explain(
            record,
            "cp_fail_rate_pct",
            {
                "trades": rate.trades,
                "fails": rate.fails,
                "from": rate.first_day.isoformat(),
                "to": rate.last_day.isoformat(),
            },
        )
        return []

    def _add_inventory(self, record: dict[str, Any], file: InventoryFile) -> list[Problem]:
        cusip = record.get("cusip")
        if not isinstance(cusip, str) or not cusips.is_valid(cusip):
            return []  # the record's own check reports it
        if self.is_shared:
            _add_coverage(record, cusip, file)
            return []
        found = file.find(cusip)
        if isinstance(found, Problem):
            self.counts["in doubt"] += 1
            return [found]
        own = record.get("inventory")
        if own is not None:
            self.counts["own inventory"] += 1
            return _compare(own, found, file)
        if found is None:
            self.counts["no line"] += 1
            record["inventory"] = dict(_NO_STOCK)
            note(record, "assumed", "inventory")
            return []
        self.counts["inventory"] += 1
        record["inventory"] = dict(found.inventory)
        if found.ftrs and not record.get("ftrs"):
            record["ftrs"] = found.ftrs
        taken = file.snapshot.as_of if file.snapshot is not None else None
        explain(record, "inventory", {"file": file.path.name, "as_of": taken})
        return []


_RATE_COUNTS = {
    "rate": "records with its fail rate",
    "own rate": "with their own",
    "no trades": "whose counterparty has no trades in the file",
}
_STOCK_COUNTS = {
    "inventory": "records with its stock",
    "own inventory": "with their own",
    "no line": "whose CUSIP has no line, taken for empty",
    "in doubt": "rejected because a line of their CUSIP is faulty",
}


def _count(words: dict[str, str], counts: Counter[str], name: str) -> str:
    parts = [f"{text}: {counts[key]:,}" for key, text in words.items() if counts[key]]
    return f"{name}: {', '.join(parts) or 'joined to no record'}"


def _day_of(record: dict[str, Any]) -> date | None:
    facts = record.get("clock_facts")
    text = facts.get("as_of") if isinstance(facts, dict) else None
    try:
        return parse_moment(text).date() if isinstance(text, str) else None
    except ValueError:
        return None


def _add_coverage(record: dict[str, Any], cusip: str, file: InventoryFile) -> None:
    """Derive the coverage of a record that has none and no stock of its own, from the box."""
    qty = record.get("qty")
    lacks = record.get("inventory") is None and "inventory_coverage_pct" not in record
    box = file.find_box(cusip) if lacks and type(qty) is int and qty > 0 else None
    if box is None or type(qty) is not int:
        return
    record["inventory_coverage_pct"] = coverage_pct(box, qty)
    note(record, "derived", "inventory_coverage_pct")
    explain(record, "inventory_coverage_pct", {"file": file.path.name})


def _compare(own: Any, pool: Pool | None, file: InventoryFile) -> list[Problem]:
    """Compare a record's inventory with its pool, in the kinds that the file has lines of."""
    if not isinstance(own, dict):
        return []  # the record's own check reports it
    stated = pool.inventory if pool is not None else {}
    problems = []
    for kind, names in _COMPARED.items():
        for name in names if kind in file.kinds else ():
            mine, theirs = own.get(name) or 0, stated.get(name) or 0
            if mine != theirs:
                accepted = f"{theirs}, the {kind} lines of {file.path}; correct one of the two"
                problem = unusable(
                    "book.snapshot_conflict", f"inventory.{name}", str(mine), accepted
                )
                problems.append(problem)
    return problems
