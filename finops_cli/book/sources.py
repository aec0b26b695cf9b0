"""The sources of a security: from the lines of an inventory file, or from its records (book, 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from msgspec import convert
from msgspec.structs import replace

from finops_cli.book.allocation.pool import KINDS, Kind, Source, rank_sources
from finops_cli.book.index import OwnInventory
from finops_cli.book.proof.certificate import Pending
from finops_cli.domain import exact_json
from finops_cli.domain.fail import Ftr, Inventory
from finops_cli.domain.finding import Problem
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.domain.money import RatePercent
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.chase import rank
from finops_cli.rules.deadlines import parse_t_plus
from finops_cli.verify.schemas import unusable

CONFLICT = "book.snapshot_conflict"


class PoolFacts(NamedTuple):
    """Everything that is known of the sources of a security."""

    sources: tuple[Source, ...]
    """In the order of their rank."""
    pending: tuple[Pending, ...] = ()
    price: Fraction | None = None
    """US dollars a share."""

    @property
    def ftrs(self) -> tuple[Ftr, ...]:
        """Return every receive: the gridlock is judged on all of them."""
        return tuple([source.ftr for source in self.sources if source.ftr is not None])


class Difference(NamedTuple):
    """A number of a record's own inventory that is not the pool's."""

    field: str
    own: str
    pool: str


def read_lines(lines: Iterable[InventoryLine], kb: KnowledgeBase) -> PoolFacts | None:
    """Read the lines of one security; None where they have no source but a price."""
    sources, pending, price = [], [], None
    has_pool = False
    for line in lines:
        if line.kind == "PRICE":
            price = Fraction(line.usd or 0)
            continue
        has_pool = True
        if line.kind == "PENDING":
            pending.append(Pending(line.id or "", line.qty or 0, line.settlement_date))
        elif line.kind in KINDS and (line.kind != "FTR" or line.qty):
            sources.append(_source_of(line, line.kind, kb))
    if not has_pool:
        return None
    return PoolFacts(tuple(rank_sources(sources)), tuple(pending), price)


def read_record(inventory: Inventory, ftrs: Sequence[Ftr], kb: KnowledgeBase) -> PoolFacts:
    """Read the sources that a record carries itself."""
    notice, transit = inventory.recall_notice_days, inventory.depot_transit_days
    found = list(_list_receives(ftrs))
    if len(found) > 1:
        found = rank_sources(found)
    found.append(Source("BOX", "", inventory.box_qty))  # one of each kind: they are in rank
    if inventory.depot_qty and transit is not None:
        found.append(Source("DEPOT", "", inventory.depot_qty, transit))
    days = kb.waterfall.recall_notice_days if notice is None else notice
    found.append(Source("RECALL", "", inventory.recall_outstanding, days))
    found.append(Source("BORROW", "", inventory.stock_loan_available))
    pending = (Pending("", inventory.pending_receives),) if inventory.pending_receives else ()
    return PoolFacts(tuple(found), pending)


def _list_receives(ftrs: Sequence[Ftr]) -> Iterator[Source]:
    """Name the receives of a record, in their rank: the second one of a broker is `dtc#2`."""
    seen: dict[str, int] = {}
    ranked = rank(ftrs) if len(ftrs) > 1 else ftrs
    for order, ftr in enumerate(ranked, start=1):
        count = seen[ftr.dtc] = seen.get(ftr.dtc, 0) + 1
        yield _receive(ftr.dtc if count == 1 else f"{ftr.dtc}#{count}", ftr, order)


def snapshot_key(own: OwnInventory) -> tuple[Any, ...]:
    """Return what must be equal in all records of a security that carry their own inventory.

    `pending_receives` is not compared, and receives may have any order.
    """
    stock = own.inventory
    if stock is None:
        return ()
    transit = stock.depot_transit_days if stock.depot_qty else None
    ftrs = sorted(exact_json.encode(_without_part(ftr)) for ftr in own.ftrs)
    return (
        stock.box_qty,
        stock.depot_qty,
        transit,
        stock.recall_outstanding,
        stock.recall_notice_days if stock.recall_outstanding else None,
        stock.stock_loan_available,
        *ftrs,
    )


def find_differences(
    stock: Inventory | None, ftrs: Sequence[Ftr], pool: PoolFacts
) -> list[Difference]:
    """Compare the inventory and the receives of a record, where present, with its pool."""
    held = {
        kind: [source for source in pool.sources if source.kind == kind and source.qty]
        for kind in KINDS
    }
    found = []
    if stock is not None:
        stated: tuple[tuple[str, int, Kind], ...] = (
            ("box_qty", stock.box_qty, "BOX"),
            ("depot_qty", stock.depot_qty, "DEPOT"),
            ("recall_outstanding", stock.recall_outstanding, "RECALL"),
            ("stock_loan_available", stock.stock_loan_available, "BORROW"),
        )
        for name, own, kind in stated:
            total = sum(source.qty for source in held[kind])
            if own != total:
                found.append(Difference(f"inventory.{name}", str(own), str(total)))
        depots, transit = held["DEPOT"], stock.depot_transit_days
        if stock.depot_qty and len(depots) == 1 and transit != depots[0].days:
            found.append(
                Difference("inventory.depot_transit_days", str(transit), str(depots[0].days))
            )
    if ftrs and Counter(map(_values, ftrs)) != Counter(map(_values, pool.ftrs)):
        found.append(Difference("ftrs", _describe(ftrs), _describe(pool.ftrs)))
    return found


def refuse_difference(difference: Difference, cusip: str, where: str) -> Problem:
    """Make the problem of a record whose inventory differs from its pool."""
    accepted = f"{difference.pool}, as {where} has it for {cusip}; correct one of the two"
    return unusable(CONFLICT, difference.field, difference.own, accepted)


def _source_of(line: InventoryLine, kind: Kind, kb: KnowledgeBase) -> Source:
    id, qty = line.id or "", line.qty or 0
    if kind == "FTR":
        return _receive(id, _ftr_of(line, kb))
    days = line.transit_days or 0
    if kind == "RECALL":
        notice = line.notice_days
        days = kb.waterfall.recall_notice_days if notice is None else notice
    return Source(kind, id, qty, days=days, rate_bps=line.rate_bps or 0, dtc=line.dtc)


def _receive(id: str, ftr: Ftr, order: int = 0) -> Source:
    return Source("FTR", id, ftr.qty, parse_t_plus(ftr.settlement_date), 0, ftr.dtc, ftr, order)


def _ftr_of(line: InventoryLine, kb: KnowledgeBase) -> Ftr:
    """Make the receive of a line; what it leaves out is assumed (kb: `input.assumed.ftr`)."""
    assumed: Mapping[str, Any] = {
        **kb.input.assumed_ftr,
        "cp_fail_rate_pct": RatePercent(kb.input.assumed_rate_pct),
    }
    given = {
        name: value
        for name in Ftr.__struct_fields__
        if (value := getattr(line, name, None)) is not None
    }
    return convert({**assumed, **given}, Ftr)


def _without_part(ftr: Ftr) -> Ftr:
    return ftr if ftr.allocated_qty is None else replace(ftr, allocated_qty=None)


def _values(ftr: Ftr) -> tuple[Any, ...]:
    return tuple(getattr(ftr, name) for name in Ftr.__struct_fields__ if name != "allocated_qty")


def _describe(ftrs: Iterable[Ftr]) -> str:
    shown = sorted(f"{ftr.dtc} {ftr.qty}" for ftr in ftrs)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
