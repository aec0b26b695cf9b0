"""Write the scratchpad of a tiny resolver model: the waterfall in small steps.

Each step copies, compares or uses the arithmetic of `scratchpad.digits`. The scratchpad is shorter
and stricter than the reasoning of `reasoning.render`, because a model of a few layers must derive
each token from the text before it in one small step. The facts that decide are directly before the
decision: for example, the two ages come before the word that says if fails net. A step states on
one line everything that the answer copies from it. The reverse of a number directly follows the
number, so that each digit is at a constant distance.

    score 30.00 age 13 T+13 left 0 aged 15 CNS_FAIL
        the age and the deadline, the age from which receipts net, the category of the fail
    A DTC-1608 T+1 FOP 3<15 chase yes moves 18632 2368100
        a fail to receive as given; if it nets and if it moves
    C DTC-1666
        further brokers, if there are fewer than three
    S1 yes S2 yes S3 no
        the gridlock signals up to the first No
    A B 3=3 2368100|4143300>2874100+ B
        the one of two that comes first: the older, else the larger
    order B A
        the ranking
    stock box 174297 depot 0 recall 0 loan 9 partial no parallel no
    owed 33414 5>4143300 1x4143300 2x...
        shares owed, their digits, and the multiples of the number
    1 CHASE_FTR B DTC-0412 T+1 RVP 11475 5741100|4143300>9391200+0021939 21939=9391200+65633a6x...
    34.34 took 11475
    2 APPLY_BOX 174297 7924710|9391200>...- took 21939
        steps, one line each: a plus with the shares still open and their proportion, or a minus
    recall ... borrow ... total 0033414 33414 ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from string import ascii_uppercase

from finops_cli.datasets.reasoning.walkthrough import Reading, read, verdict
from finops_cli.datasets.scratchpad.digits import (
    MOST,
    as_read,
    divide,
    render_comparison,
    render_difference,
    render_multiples,
    render_sum,
    units_first,
)
from finops_cli.domain.fail import Ftr
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.chase import nets_across_dates, rank
from finops_cli.rules.deadlines import depot_in_time
from finops_cli.rules.sourcing import corporate_action_option, runs_in_parallel

NAMES: tuple[str, ...] = (
    *ascii_uppercase,
    "AA",
    "BB",
    "CC",
    "DD",
    "EE",
    "FF",
    "GG",
    "HH",
    "II",
    "JJ",
)
"""Short names of the fails to receive, in the order of the input, and of further brokers."""
_COMPARED_FTRS_MAX = 3
"""Largest number of fails to receive that are compared pair by pair. More are ranked at once."""


def render_resolver_scratchpad(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> str:
    """Write the steps from `case` to `plan`, without the <think> tags.

    Raises ValueError if the age of the fail is unknown, or if shares or fails to receive do not
    fit.
    """
    r = read(case, plan, kb)
    if len(case.ftrs) + len(case.related_fails) > len(NAMES):
        raise ValueError(
            f"{len(case.ftrs)} fails to receive and {len(case.related_fails)} related ones are"
            f" too many. The limit is {len(NAMES)}"
        )
    return "\n".join((*render_input_lines(r), *render_plan_lines(r)))


def render_input_lines(r: Reading) -> Iterator[str]:
    """Write the lines that are copied from the case: clock, fails, signals, order and stock."""
    yield _clock(r)
    yield from _receipts(r)
    yield from _others(r)
    yield f"S1 {_says(r, 1)}" + "".join(
        f" S{number} {_says(r, number)}" for number in range(2, min(r.gridlock.signals, 2) + 2)
    )
    yield from _comparisons(r)
    if r.gridlock.signals >= 3:
        yield _similar(r)
    if len(r.ranked) > 1:
        yield f"order {' '.join(_named(r, ftr) for ftr in r.ranked)}"
    yield _stock(r)


def render_plan_lines(r: Reading) -> Iterator[str]:
    """Write the lines that follow: shares owed, steps with their coverage, sources."""
    table = "" if r.stock.get("SPO_SETTLEMENT") else f" {render_multiples(r.owed)}"
    yield f"owed {r.owed} {len(f'{r.owed}')}>{units_first(r.owed)}{table}"
    before = r.owed
    for step in r.plan.resolution_steps:
        yield (
            f"{step.step}"
            f" {step.action}{_source(r, step, before)}{_coverage(r, step)}"
            f"{f' took {step.qty}' if step.qty else ''}"
        )
        before = step.remaining_short
    if table:
        yield from _sources(r)


def _coverage(r: Reading, step: Step) -> str:
    """Write the coverage after a step that takes shares and leaves some open."""
    if not (step.qty and step.remaining_short):
        return ""
    # The open part is rounded down at a half, because the covered part is rounded up.
    division = divide(step.remaining_short, r.owed, r.rules.coverage_decimals + 2).working
    return f"{division} {step.coverage_after_step_pct:.{r.rules.coverage_decimals}f}"


def _clock(r: Reading) -> str:
    option = corporate_action_option(r.case)
    days = "none" if r.days_left is None else f"{r.case.triage.deadline} left {r.days_left}"
    netted = f"aged {r.age + r.rules.offset_older_by_days}"
    clock = (
        f"score {r.case.triage.score_components.age} age {r.age} {days} {netted}"
        f" {r.case.triage.category}"
    )
    return clock if option is None else f"{clock} {option}"


def _stock(r: Reading) -> str:
    """Write the stock of the desk, and the sources that the clock allows."""
    held = r.case.inventory
    depot = f"{held.depot_qty}"
    if held.depot_qty:
        transit = held.depot_transit_days
        depot += (
            f" {'none' if transit is None else transit}"
            f" {verdict(depot_in_time(held, r.days_left)).lower()}"
        )
    due = r.days_left is not None and r.days_left <= r.rules.partial_deadline_days
    parallel = runs_in_parallel(held, r.days_left, r.rules)
    sources = f"recall {held.recall_outstanding} loan {held.stock_loan_available}"
    return (
        f"stock box {held.box_qty} depot {depot} {sources} partial {verdict(due).lower()} parallel"
        f" {verdict(parallel).lower()}"
    )


def _receipts(r: Reading) -> Iterator[str]:
    aged = r.age + r.rules.offset_older_by_days
    for name, ftr in zip(NAMES, r.case.ftrs, strict=False):
        way = "net" if nets_across_dates(ftr, r.age, r.rules) else "chase"
        settles = f"{ftr.settlement_date} {ftr.settlement_type} {_against(ftr.age_days, aged)}"
        yield f"{name} {ftr.dtc} {settles} {way} {_moves(r, ftr)} {_turned(ftr.qty)}"


def _against(one: int, other: int) -> str:
    """Write two small numbers and their comparison."""
    return f"{one}{'<' if one < other else '>' if one > other else '='}{other}"


def _turned(qty: int) -> str:
    return f"{qty} {units_first(_fitting(qty))}"


def _fitting(qty: int) -> int:
    """Cap a quantity at the largest number that a scratchpad can write."""
    return min(qty, MOST)


def _moves(r: Reading, ftr: Ftr) -> str:
    """Write the fields that decide if a fail to receive moves, then `moves` or `stuck`."""
    if ftr.partial_delivery_history:
        return "yes moves"
    if ftr.chase_attempts is None:
        return (
            f"no none {ftr.age_days}"
            f" {'moves' if ftr.age_days < r.rules.gridlock_aged_min_days else 'stuck'}"
        )
    return (
        f"no {ftr.chase_attempts}"
        f" {'moves' if ftr.chase_attempts < r.rules.gridlock_min_attempts else 'stuck'}"
    )


def _others(r: Reading) -> Iterator[str]:
    known = {ftr.dtc for ftr in r.case.ftrs}
    if not known or len(known) >= r.rules.gridlock_min_brokers:
        return
    for name, fail in zip(NAMES[len(r.case.ftrs) :], r.case.related_fails, strict=False):
        yield f"{name} {'none' if fail.dtc in known else fail.dtc}"
        known.add(fail.dtc)


def _named(r: Reading, ftr: Ftr) -> str:
    return NAMES[next(place for place, given in enumerate(r.case.ftrs) if given is ftr)]


def _says(r: Reading, number: int) -> str:
    return verdict(r.gridlock.signals >= number).lower()


def _comparisons(r: Reading) -> Iterator[str]:
    if len(r.case.ftrs) > _COMPARED_FTRS_MAX:
        return
    for (name, one), (other_name, other) in combinations(zip(NAMES, r.case.ftrs, strict=False), 2):
        quantities = render_comparison(_fitting(one.qty), _fitting(other.qty))
        first = name if rank([one, other])[0] is one else other_name
        yield f"{name} {other_name} {_against(one.age_days, other.age_days)} {quantities} {first}"


def _similar(r: Reading) -> str:
    """Write S4: four times the gap between the brokers is at most the smallest quantity."""
    sums: dict[str, int] = {}
    for ftr in r.case.ftrs:
        sums[ftr.dtc] = sums.get(ftr.dtc, 0) + _fitting(ftr.qty)
    if r.rules.gridlock_similar_ratio.as_integer_ratio() != (5, 4):
        raise ValueError(
            f"the scratchpad of S4 needs a ratio of 1.25, not {r.rules.gridlock_similar_ratio}"
        )
    least, gap = min(sums.values()), max(sums.values()) - min(sums.values())
    sums_written = (
        f"{render_comparison(least, least + gap)} {render_sum(gap, gap)}"
        f" {render_sum(2 * gap, 2 * gap)} {render_comparison(4 * gap, least)} "
        if gap
        else ""
    )
    extent = "all" if r.gridlock.extent == "full" else r.gridlock.extent
    return f"{sums_written}S4 {_says(r, 4)} {extent} {' '.join(r.plan.gridlock_parties)}"


def _source(r: Reading, step: Step, before: int) -> str:
    """Write the source of a step, its shares, and how much of `before` stays open."""
    if step.action in ("PARTIAL_DELIVER", "SPO_SETTLEMENT"):
        return ""
    if step.action == "BUY_IN_NOTICE":
        return f" {step.dtc or 'all'}"
    if step.action == "APPLY_BOX":
        return f" {_off(r.case.inventory.box_qty, before)}"
    if step.action == "DEPOT_MOVEMENT":
        return f" {_off(r.case.inventory.depot_qty, before)}"
    if step.dtc is None:
        return (
            f" rest {r.plan.additional_ftrs_chased}"
            f" {_running_sums(r)}{_off(sum(ftr.qty for ftr in _rest(r)), before)}"
        )
    ftr = next(ftr for ftr, taken in r.receipts if taken.step is step)
    return (
        f" {_named(r, ftr)} {step.dtc} {step.settlement_date} {step.settlement_type}"
        f" {_off(ftr.qty, before)}"
    )


def _off(held: int, before: int) -> str:
    return f"{held} {render_difference(_fitting(held), before)}"


def _rest(r: Reading) -> Sequence[Ftr]:
    first = len(r.receipts)
    return r.ranked[first : first + r.plan.additional_ftrs_chased]


def _running_sums(r: Reading) -> str:
    """Add the fails to receive of an aggregated step one by one."""
    sums = [0]
    for ftr in _rest(r):
        sums.append(sums[-1] + ftr.qty)
    return "".join(f"{render_sum(a, b - a)} " for a, b in pairwise(sums[1:]))


def _sources(r: Reading) -> Iterator[str]:
    left, held, plan = r.owed - r.covered, r.case.inventory, r.plan
    if not left:
        yield "residual 0"
        return
    parallel = runs_in_parallel(held, r.days_left, r.rules)
    behind = left
    if held.recall_outstanding:
        way = "parallel" if parallel else "sequential"
        yield (
            f"{way} recall {_off(held.recall_outstanding, left)} took"
            f" {min(held.recall_outstanding, left)}"
        )
        behind = left if parallel else left - min(held.recall_outstanding, left)
    if behind and held.stock_loan_available:
        yield (
            f"borrow {_off(held.stock_loan_available, behind)} took"
            f" {min(held.stock_loan_available, behind)}"
        )
    if parallel:
        sums = (r.covered, r.covered + plan.fallback_qty, plan.total_coverable)
        yield (
            f"covered {render_comparison(left, r.owed)}"
            f" {' '.join(render_sum(a, b - a) for a, b in pairwise(sums))}"
        )
        yield f"total {as_read(plan.total_coverable)} {plan.total_coverable}"
        if plan.residual_short:
            yield f"residual {render_difference(plan.total_coverable, r.owed)}"
            return
    elif plan.residual_short and plan.total_coverable:
        total = render_difference(plan.residual_short, r.owed)
        yield f"total {total} residual {plan.residual_short}"
        return
    yield f"residual {plan.residual_short}"
