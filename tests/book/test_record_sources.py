"""The sources of a security, from the inventories that its records carry."""

from __future__ import annotations

from random import Random

from msgspec import convert

from finops_cli.book.allocation.pool import rank_sources
from finops_cli.book.sources import read_record
from finops_cli.domain.fail import Ftr, Inventory
from finops_cli.domain.money import RatePercent
from finops_cli.kb.rulebook import KnowledgeBase


def draw_inventory(draw: Random) -> Inventory:
    has_depot = draw.random() < 0.7
    return Inventory(
        box_qty=draw.randint(0, 9),
        stock_loan_available=draw.randint(0, 9),
        recall_outstanding=draw.randint(0, 9),
        pending_receives=draw.randint(0, 9),
        depot_qty=draw.randint(0, 9) if has_depot else 0,
        depot_transit_days=draw.randint(0, 9) if has_depot else None,
        recall_notice_days=draw.choice((None, 0, 5)),
    )


def draw_receives(draw: Random) -> list[Ftr]:
    """Draw receives of few brokers, sizes and ages, so that many are equal."""
    return [
        convert(
            {
                "dtc": draw.choice(("DTC-0161", "DTC-0062")),
                "qty": draw.randint(1, 4),
                "age_days": draw.randint(0, 3),
                "settlement_type": "RVP",
                "settlement_date": draw.choice(("T+0", "T+1", "T+2")),
                "cp_fail_rate_pct": RatePercent(1),
                "partial_delivery_history": draw.random() < 0.5,
                "allocated_qty": draw.choice((None, None, 0, 1)),
            },
            Ftr,
        )
        for _ in range(draw.randint(0, 8))
    ]


def test_sources_of_a_record_are_in_rank(kb: KnowledgeBase) -> None:
    """Rule: the sources that a record carries come in the order of their rank, with names of their
    own, and receives in another order give the same sources.
    """
    for seed in range(300):
        draw = Random(seed)
        inventory, receives = draw_inventory(draw), draw_receives(draw)
        sources = read_record(inventory, receives, kb).sources
        assert list(sources) == rank_sources(sources)
        assert len({source.key for source in sources}) == len(sources)
        assert sum(source.qty for source in sources if source.kind == "FTR") == sum(
            ftr.qty for ftr in receives
        )
