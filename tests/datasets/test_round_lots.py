"""Inputs in round lots: whole lots everywhere, of a fail that is triaged as it then is, and none
that a model is measured on.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from math import gcd

import msgspec
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
    held = case.inventory
    mine = [
        case.ftd_qty,
        held.box_qty,
        held.stock_loan_available,
        held.recall_outstanding,
        held.pending_receives,
        held.depot_qty,
    ]
    return [*mine, *(ftr.qty for ftr in case.ftrs), *(fail.qty for fail in case.related_fails)]


def drawn(kb: KnowledgeBase) -> list[ResolverInput]:
    return [make_round_lots_case(index, 5, kb, 3) for index in range(COUNT)]


def test_every_quantity_is_whole_lots(kb: KnowledgeBase) -> None:
    """Of one size an input: ten shares at least, most often a hundred or more, and thousands now
    and then.
    """
    lots = Counter(min(5_000, gcd(*quantities(case))) for case in drawn(kb))
    assert min(lots) >= 10
    assert sum(count for lot, count in lots.items() if lot >= 100) > COUNT / 2
    assert sum(count for lot, count in lots.items() if lot >= 1_000) > COUNT / 10


def test_what_was_something_stays_something_and_nothing_stays_nothing(kb: KnowledgeBase) -> None:
    """But for fails to receive that are left out all together, and a depot where there was none."""
    for index in range(COUNT):
        given = next(cases(index, 5, kb, (1, 3)))
        made = next(
            cases(
                index,
                5,
                kb,
                (1, 3),
                lambda fail, index=index: round_fail_to_lots(fail, kb, rng(5, "lots", index)),
            )
        )
        assert len(made.ftrs) in (0, len(given.ftrs))
        for before, after in zip(given.ftrs, made.ftrs, strict=False):
            assert (before.dtc, before.age_days) == (after.dtc, after.age_days)
            assert abs(after.qty - before.qty) <= 5_000
        for name in ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives"):
            assert bool(getattr(made.inventory, name)) == bool(getattr(given.inventory, name))
        assert made.inventory.depot_qty or not given.inventory.depot_qty


def test_the_fail_that_is_triaged_is_round_in_itself(kb: KnowledgeBase) -> None:
    """One lot for all of it, the position in CNS is what is owed, and the coverage is that of the
    rounded box.
    """
    for index in range(COUNT):
        seen: list[FailRecord] = []

        def kept(fail: FailRecord, index: int = index, seen: list[FailRecord] = seen) -> FailRecord:
            seen.append(round_fail_to_lots(fail, kb, rng(5, "lots", index)))
            return seen[-1]

        case, lot = next(cases(index, 5, kb, (1, 3), kept)), rng(5, "lots", index).choice(LOTS)
        made = seen[-1]
        assert [qty for qty in quantities(case) if qty % lot] == []
        assert made.cns_position in (None, -made.qty)
        assert abs(
            made.inventory_coverage_pct - Decimal(100 * case.inventory.box_qty) / case.ftd_qty
        ) <= Decimal("0.05")


def test_what_the_triage_says_of_a_fail_is_said_of_the_rounded_one(kb: KnowledgeBase) -> None:
    """The quantity in its reason, and the flag of large positions."""
    for case in drawn(kb):
        assert f" {case.ftd_qty:,} shares" in case.triage.reason
        assert ("LARGE_POSITION" in case.triage.flags) == (
            case.ftd_qty >= kb.handoff.large_position_min_shares
        )


def test_some_have_no_fail_to_receive_and_some_a_depot_of_any_way(kb: KnowledgeBase) -> None:
    made = drawn(kb)
    assert COUNT / 20 < sum(not case.ftrs for case in made) < COUNT / 4
    depots = [case.inventory for case in made if case.inventory.depot_qty]
    assert COUNT / 6 < len(depots) < COUNT / 2
    assert {None, 0, 1, 5, 8, kb.triage.deadline_standard} <= {
        held.depot_transit_days for held in depots
    }


def test_their_content_decides_on_which_side_they_stand(kb: KnowledgeBase) -> None:
    """One in `eval_every` is made for the evaluation; the others are of the training, also after
    they were rounded.
    """
    for index, case in enumerate(drawn(kb)):
        evaluates = index % kb.datasets.eval_every == kb.datasets.eval_every - 1
        assert split_of(content_key(case), kb.datasets.eval_every) == (
            "eval" if evaluates else "train"
        )
        assert case.ftd_qty <= LARGEST


def test_their_plans_are_valid(kb: KnowledgeBase) -> None:
    for case in drawn(kb):
        row = make_resolver_row(case, kb, "tiny-resolver")
        plan = msgspec.json.decode(row.answer, type=Resolution)
        assert resolver_task(case, kb).check(plan) == []


def records(kb: KnowledgeBase) -> list[tuple[FailRecord, FailRecord]]:
    """Each as it was drawn, and rounded."""
    given = [next(fails(index, 5, kb, "coverage")) for index in range(COUNT)]
    return [
        (fail, round_record_to_lots(fail, rng(5, "lots", index)))
        for index, fail in enumerate(given)
    ]


def test_a_record_has_a_quantity_in_lots_and_a_value_of_few_digits(kb: KnowledgeBase) -> None:
    """At most four before the zeros, where it is ten thousand dollars or more; the nearest such
    value, and cents where it is small.
    """
    shown = Counter[int]()
    for index, (given, made) in enumerate(records(kb)):
        assert made.qty % rng(5, "lots", index).choice(LOTS) == 0
        assert made.qty > 0
        if given.market_value >= 10_000:
            shown[len(made.market_value.normalize().as_tuple().digits)] += 1
            assert abs(made.market_value / given.market_value - 1) <= Decimal("0.5")
    assert set(shown) == {1, 2, 3, 4}


def test_a_position_of_the_whole_quantity_stays_one_and_all_else_stays(kb: KnowledgeBase) -> None:
    for given, made in records(kb):
        whole = given.cns_position is not None and abs(given.cns_position) == given.qty
        sign = 1 if (given.cns_position or 0) > 0 else -1
        assert made.cns_position == (sign * made.qty if whole else given.cns_position)
        assert replace(made, qty=1, cns_position=None, market_value=Usd(Decimal(1))) == replace(
            given, qty=1, cns_position=None, market_value=Usd(Decimal(1))
        )


def test_rows_of_rounded_records_keep_to_their_side_and_are_answered_by_the_rules(
    kb: KnowledgeBase,
) -> None:
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
