"""Training inputs in round lots: whole lots everywhere, a consistent triage, and no evaluation
record among them.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from math import gcd

import msgspec
import pytest
from msgspec.structs import replace

from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.scratchpad.digits import LARGEST
from finops_cli.datasets.scratchpad.round_lots import LOTS, round_fail_to_lots, round_record_to_lots
from finops_cli.datasets.scratchpad.rows import (
    make_resolver_row,
    make_round_lots_case,
    make_round_lots_fail_row,
)
from finops_cli.datasets.splits import content_key, split_of
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import Usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import resolver_task
from finops_cli.rules.triage import triage
from finops_cli.verify.codecs import FAIL

COUNT = 200


def quantities(case: ResolverInput) -> list[int]:
    inventory = case.inventory
    mine = [
        case.ftd_qty,
        inventory.box_qty,
        inventory.stock_loan_available,
        inventory.recall_outstanding,
        inventory.pending_receives,
        inventory.depot_qty,
    ]
    return [*mine, *(ftr.qty for ftr in case.ftrs), *(fail.qty for fail in case.related_fails)]


def rounded_cases(kb: KnowledgeBase) -> list[ResolverInput]:
    return [make_round_lots_case(index, 5, kb, 3) for index in range(COUNT)]


def test_round_lots_make_every_quantity_a_multiple(kb: KnowledgeBase) -> None:
    """All quantities of a case are multiples of one lot of at least ten shares, often a hundred,
    sometimes a thousand.
    """
    lots = Counter(min(5_000, gcd(*quantities(case))) for case in rounded_cases(kb))
    assert min(lots) >= 10
    assert sum(count for lot, count in lots.items() if lot >= 100) > COUNT / 2
    assert sum(count for lot, count in lots.items() if lot >= 1_000) > COUNT / 10


def test_round_lots_keep_zero_and_nonzero_quantities(kb: KnowledgeBase) -> None:
    """Rounding keeps zero quantities zero and others positive. It may omit all receipts and add a
    depot.
    """
    for index in range(COUNT):
        original = next(cases(index, 5, kb, (1, 3)))
        rounded = next(
            cases(
                index,
                5,
                kb,
                (1, 3),
                lambda fail, index=index: round_fail_to_lots(fail, kb, rng(5, "lots", index)),
            )
        )
        assert len(rounded.ftrs) in (0, len(original.ftrs))
        for before, after in zip(original.ftrs, rounded.ftrs, strict=False):
            assert (before.dtc, before.age_days) == (after.dtc, after.age_days)
            assert abs(after.qty - before.qty) <= 5_000
        for name in ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives"):
            assert bool(getattr(rounded.inventory, name)) == bool(getattr(original.inventory, name))
        assert rounded.inventory.depot_qty or not original.inventory.depot_qty


def test_round_lots_keep_the_fail_consistent(kb: KnowledgeBase) -> None:
    """The rounded fail has one lot, its CNS position is the quantity owed, and its coverage is that
    of the rounded box.
    """
    for index in range(COUNT):
        seen: list[FailRecord] = []

        def round_and_keep(
            fail: FailRecord, index: int = index, seen: list[FailRecord] = seen
        ) -> FailRecord:
            seen.append(round_fail_to_lots(fail, kb, rng(5, "lots", index)))
            return seen[-1]

        case, lot = (
            next(cases(index, 5, kb, (1, 3), round_and_keep)),
            rng(5, "lots", index).choice(LOTS),
        )
        rounded = seen[-1]
        assert [qty for qty in quantities(case) if qty % lot] == []
        assert rounded.cns_position in (None, -rounded.qty)
        assert abs(
            rounded.inventory_coverage_pct - Decimal(100 * case.inventory.box_qty) / case.ftd_qty
        ) <= Decimal("0.05")


def test_round_lots_triage_describes_the_rounded_fail(kb: KnowledgeBase) -> None:
    """The reason and the large-position flag of the triage follow from the rounded quantity."""
    for case in rounded_cases(kb):
        assert f" {case.ftd_qty:,} shares" in case.triage.reason
        assert ("LARGE_POSITION" in case.triage.flags) == (
            case.ftd_qty >= kb.handoff.large_position_min_shares
        )


def test_round_lots_include_cases_without_receipts(kb: KnowledgeBase) -> None:
    """Some rounded cases have no receipt, and some have a depot with any transit time."""
    rounded = rounded_cases(kb)
    assert COUNT / 20 < sum(not case.ftrs for case in rounded) < COUNT / 4
    depots = [case.inventory for case in rounded if case.inventory.depot_qty]
    assert COUNT / 6 < len(depots) < COUNT / 2
    assert {None, 0, 1, 5, 8, kb.triage.deadline_standard} <= {
        inventory.depot_transit_days for inventory in depots
    }


def test_round_lots_split_follows_the_content(kb: KnowledgeBase) -> None:
    """The content of a rounded case decides its split, and one in `eval_every` is for
    evaluation.
    """
    for index, case in enumerate(rounded_cases(kb)):
        evaluates = index % kb.datasets.eval_every == kb.datasets.eval_every - 1
        assert split_of(content_key(case), kb.datasets.eval_every) == (
            "eval" if evaluates else "train"
        )
        assert case.ftd_qty <= LARGEST


@pytest.mark.slow
def test_round_lots_plans_pass_their_check(kb: KnowledgeBase) -> None:
    """The plan of every rounded case passes its check."""
    for case in rounded_cases(kb):
        row = make_resolver_row(case, kb, "tiny-resolver")
        plan = msgspec.json.decode(row.answer, type=Resolution)
        assert resolver_task(case, kb).check(plan) == []


def original_and_rounded(kb: KnowledgeBase) -> list[tuple[FailRecord, FailRecord]]:
    """Return fails as they were generated, each with its rounded form."""
    original = [next(fails(index, 5, kb, "coverage")) for index in range(COUNT)]
    return [
        (fail, round_record_to_lots(fail, rng(5, "lots", index)))
        for index, fail in enumerate(original)
    ]


def test_round_lots_fail_value_has_at_most_four_digits(kb: KnowledgeBase) -> None:
    """A rounded fail has a quantity in lots, and a large value has at most four digits before its
    zeros.
    """
    digit_counts = Counter[int]()
    for index, (original, rounded) in enumerate(original_and_rounded(kb)):
        assert rounded.qty % rng(5, "lots", index).choice(LOTS) == 0
        assert rounded.qty > 0
        if original.market_value >= 10_000:
            digit_counts[len(rounded.market_value.normalize().as_tuple().digits)] += 1
            assert abs(rounded.market_value / original.market_value - 1) <= Decimal("0.5")
    assert set(digit_counts) == {1, 2, 3, 4}


def test_round_lots_fail_keeps_its_other_fields(kb: KnowledgeBase) -> None:
    """A position of the whole quantity follows the quantity, and all other fields stay."""
    for original, rounded in original_and_rounded(kb):
        whole = original.cns_position is not None and abs(original.cns_position) == original.qty
        sign = 1 if (original.cns_position or 0) > 0 else -1
        assert rounded.cns_position == (sign * rounded.qty if whole else original.cns_position)
        assert replace(rounded, qty=1, cns_position=None, market_value=Usd(Decimal(1))) == replace(
            original, qty=1, cns_position=None, market_value=Usd(Decimal(1))
        )


def test_round_lots_fail_rows_have_split_and_engine_answer(
    kb: KnowledgeBase,
) -> None:
    """Rows of rounded fails have the split of their content and the engine's answer."""
    for index in range(40):
        row = make_round_lots_fail_row(index, 5, kb, "coverage", "tiny-triage")
        record = FAIL.read(exact_json.decode(row.record))
        assert record is not None
        evaluates = index % kb.datasets.eval_every == kb.datasets.eval_every - 1
        assert (
            split_of(content_key(record), kb.datasets.eval_every)
            == row.split
            == ("eval" if evaluates else "train")
        )
        assert row.answer == exact_json.encode(triage(record, kb)).decode()
