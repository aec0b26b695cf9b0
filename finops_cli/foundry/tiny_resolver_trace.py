"""What a tiny resolver writes out before its plan: the waterfall by copying, comparing and written arithmetic (`tiny_digits`).

Shorter and stricter than the trace of card 2 (`foundry.trace`): a model of a few layers must get each token from what stands
before it by one small step. Quantities are units first in `WIDTH` digits where they are reckoned with, and plain where the plan
copies them.

    age 12 T+13 left 1 CNS_FAIL            the clock, and the kind of fail
    A DTC-1608 3 23681000 FOP T+1 chase stuck
                                           fails to receive as they are given; does it net across dates, does it move
    S2 yes S3 yes S4 no ...                the signals of gridlock up to the first No
    order A B                              rank
    owed 41433000 33 1x41433000 ...        what is owed, and the table of its multiples
    step 1 A chase DTC-1608 3 FOP T+1 41433000-23681000=28741000+ ... take 18632 left 14782 pct 55.76
    recall ... borrow ... total 33414 residual 0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from finops_cli.domain.fail import Ftr
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.foundry.tiny_digits import difference, divided, multiples, total, units_first
from finops_cli.foundry.trace_reading import Reading, read, verdict
from finops_cli.kb.book import Book
from finops_cli.rules.chase import nets_across_dates
from finops_cli.rules.events import corporate_action_option
from finops_cli.rules.fallback import runs_in_parallel

NAMES: tuple[str, ...] = (*ascii_uppercase, "AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH", "II", "JJ")
"""Short names of the fails to receive, in the order of the input."""
_WORDS = {
    "CHASE_FTR": "chase",
    "OFFSET_FTR": "net",
    "NET_GRIDLOCK": "jam",
    "APPLY_BOX": "box",
    "PARTIAL_DELIVER": "partial",
    "DEPOT_MOVEMENT": "depot",
    "BUY_IN_NOTICE": "notice",
}


def tiny_trace(case: ResolverInput, plan: Resolution, book: Book) -> str:
    """The working from `case` to `plan`, without the <think> tags.

    Raises ValueError when the age of the fail cannot be told, and for more shares or fails to receive than there is room for.
    """
    r = read(case, plan, book)
    if len(case.ftrs) > len(NAMES):
        raise ValueError(f"{len(case.ftrs)} fails to receive; there are {len(NAMES)} names")
    lines = [_clock(r), *_listed(r), _signals(r)]
    if r.stock.get("SPO_SETTLEMENT"):
        return "\n".join((*lines, f"cash take {r.owed} left 0 pct 100.00", f"total {r.owed} residual 0"))
    if r.ranked:
        lines.append(f"order {' '.join(_named(r, ftr) for ftr in r.ranked)}")
    lines.append(f"owed {units_first(r.owed)} {multiples(r.owed)}")
    return "\n".join((*lines, *_steps(r), *_sources(r)))


def _clock(r: Reading) -> str:
    option = corporate_action_option(r.case)
    days = "none" if r.days_left is None else f"{r.case.triage.deadline} left {r.days_left}"
    return f"age {r.age} {days} {r.case.triage.category}{'' if option is None else f' {option}'}"


def _listed(r: Reading) -> Iterator[str]:
    for name, ftr in zip(NAMES, r.case.ftrs, strict=False):
        way = "net" if nets_across_dates(ftr, r.age, r.rules) else "chase"
        settles = f"{ftr.settlement_type} {ftr.settlement_date}"
        yield f"{name} {ftr.dtc} {ftr.age_days} {units_first(ftr.qty)} {settles} {way} {_moves(r, ftr)}"


def _moves(r: Reading, ftr: Ftr) -> str:
    """Whether a fail to receive speaks against S3."""
    if ftr.partial_delivery_history:
        return "moves"
    if ftr.chase_attempts is None:
        return "moves" if ftr.age_days < r.rules.gridlock_aged_from else "stuck"
    return "moves" if ftr.chase_attempts < r.rules.gridlock_attempts_from else "stuck"


def _named(r: Reading, ftr: Ftr) -> str:
    return NAMES[next(place for place, given in enumerate(r.case.ftrs) if given is ftr)]


def _signals(r: Reading) -> str:
    signals = r.gridlock.signals
    told = [f"S{number} {verdict(signals >= number).lower()}" for number in range(1, min(signals + 1, 3) + 1)]
    if signals >= 3:
        told.append(_similar(r))
    if r.plan.gridlock_detected:
        told.append(f"{r.gridlock.extent} {' '.join(r.plan.gridlock_parties)}")
    return " ".join(told)


def _similar(r: Reading) -> str:
    """S4: the largest quantity of a broker against the smallest, both times what makes the ratio whole."""
    owed: dict[str, int] = {}
    for ftr in r.case.ftrs:
        owed[ftr.dtc] = owed.get(ftr.dtc, 0) + ftr.qty
    above, below = r.rules.gridlock_similar_ratio.as_integer_ratio()
    limit = difference(above * min(owed.values()), below * max(owed.values()))
    return f"{units_first(max(owed.values()))} {units_first(min(owed.values()))} {limit} S4 {verdict(r.gridlock.signals > 3).lower()}"


def _steps(r: Reading) -> Iterator[str]:
    before, pct = r.owed, ""
    for step in r.plan.resolution_steps:
        head = f"step {step.step} {_subject(r, step)}"
        if step.qty:
            pct = _percentage(r, step)
            yield f"{head}{_worked(r, step, before)} take {step.qty} left {step.remaining_short} pct {pct}"
        else:
            yield f"{head} take 0 left {step.remaining_short} pct {pct}"
        before = step.remaining_short


def _percentage(r: Reading, step: Step) -> str:
    return f"{step.coverage_after_step_pct:.{r.rules.coverage_decimals}f}"


def _subject(r: Reading, step: Step) -> str:
    word = _WORDS[step.action]
    if step.dtc is None:
        return f"rest {r.plan.additional_ftrs_chased} {word}" if step.action in ("CHASE_FTR", "NET_GRIDLOCK") else word
    ftr = _receipt(r, step.dtc, step)
    if step.action == "BUY_IN_NOTICE":
        return f"{word} {step.dtc} {ftr.age_days}"
    return f"{word} {_named(r, ftr)} {step.dtc} {ftr.age_days} {step.settlement_type} {step.settlement_date}"


def _receipt(r: Reading, dtc: str, step: Step) -> Ftr:
    """The fail to receive of a step: the last one so far where a notice follows it."""
    places = [taken.step.step for _, taken in r.receipts]
    place = max(number for number in places if number <= step.step)
    return r.receipts[places.index(place)][0]


def _worked(r: Reading, step: Step, before: int) -> str:
    """What is taken off what is open; then, unless nothing stays open, the open share of what is owed, digit by digit.

    The covered percentage is 100 less that share, so the share is rounded down at a half where the percentage is rounded up.
    """
    held = _held(r, step)
    told = f" {_added(r, step)}{difference(before, held)}"
    if step.remaining_short:
        told += divided(step.remaining_short, r.owed, r.rules.coverage_decimals + 2).working
    return told


def _held(r: Reading, step: Step) -> int:
    if step.dtc is not None:
        return _receipt(r, step.dtc, step).qty
    if step.action == "APPLY_BOX":
        return r.case.inventory.box_qty
    if step.action == "DEPOT_MOVEMENT":
        return r.case.inventory.depot_qty
    return sum(_rest(r))


def _rest(r: Reading) -> Sequence[int]:
    first = len(r.receipts)
    return [ftr.qty for ftr in r.ranked[first : first + r.plan.additional_ftrs_chased]]


def _added(r: Reading, step: Step) -> str:
    """The fails to receive of an aggregated step, added one by one."""
    if step.dtc is not None or step.action not in ("CHASE_FTR", "NET_GRIDLOCK"):
        return ""
    told, so_far = [], 0
    for qty in _rest(r):
        told.append(f"{total(so_far, qty)} ")
        so_far += qty
    return "".join(told)


def _sources(r: Reading) -> Iterator[str]:
    left, held = r.owed - r.covered, r.case.inventory
    if not left:
        yield f"total {r.owed} residual 0"
        return
    parallel = runs_in_parallel(held, r.days_left, r.rules)
    first = min(held.recall_outstanding, left)
    yield f"{'parallel' if parallel else 'sequential'} recall {difference(left, held.recall_outstanding)} take {first}"
    behind = left if parallel else left - first
    second = min(held.stock_loan_available, behind)
    if behind:
        yield f"borrow {difference(behind, held.stock_loan_available)} take {second}"
    plan = r.plan
    if parallel:
        covered = r.covered + first
        yield f"covered {difference(r.owed, left)} {total(r.covered, first)} {total(covered, second)}"
    elif plan.residual_short:
        yield f"covered {difference(r.owed, plan.residual_short)}"
    yield f"total {plan.total_coverable} residual {plan.residual_short}"
