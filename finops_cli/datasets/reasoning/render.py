"""Render the reasoning that a resolver model is trained to write before its plan.

Source: the resolver's model card (`finops kb show card-2`), 'Thinking Trace Methodology'. There are
ten sections, always with the same lines. The reasoning follows from input and plan only. It states
every number of the plan with the arithmetic that gives it (`32000-12000=20000`), so that a model
with single-digit tokens can compute it by writing it down. `datasets.reasoning.check` computes it
again. Digits have no space before them, because a space would be a token. A calculation continues
from its last result (`1200 +800=2000 /32000=6.25%`). After section 3 the fails to receive are named
by their rank.

    1 Problem            shares owed, and the deadline
    2 Inventory          shares that the desk has
    3 FTR ranking        the first ten, oldest then largest
    4 Chase walk-through `waterfall.chase`, `.box` and `.depot`; the first five fails to receive in
                         full
    5 Partials ...       `waterfall.partial` and `waterfall.offset`
    6 Fallback           `waterfall.fallback`
    7 Reg SHO            `waterfall.parallel`
    8 Gridlock           `gridlock.signals`, up to the first No
    9 Escalation         `plan.total`, `plan.residual`, `waterfall.b2b_notice`,
                         `waterfall.corporate_action`
    10 Conclusion        the values that the plan will state
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from finops_cli.datasets.reasoning.gridlock import tell_gridlock
from finops_cli.datasets.reasoning.walkthrough import Reading, Taken, read, verdict
from finops_cli.domain.money import plain
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.ledger import coverage_pct
from finops_cli.rules.sourcing import corporate_action_option, runs_in_parallel

TOLD_IN_FULL = 5
"""Number of chase steps that spell out a min() even if it decides nothing.

Source: the resolver's model card (`finops kb show card-2`), 'first 5 shown, rest summarized'.
"""


def render_reasoning(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> str:
    """Write the reasoning from `case` to `plan`, without its <think> tags.

    Raises ValueError if the age of the fail is unknown (see `rules.clock`).
    """
    reading = read(case, plan, kb)
    lines: list[str] = []
    for number, (heading, tell) in enumerate(_SECTIONS.items(), 1):
        lines.append(f"{number} {heading}")
        lines += tell(reading)
    return "\n".join(lines)


def _problem(r: Reading) -> Iterator[str]:
    triage = r.case.triage
    flags = " ".join(triage.flags) or "none"
    yield (
        f"CUSIP {r.case.cusip} owed {r.owed}; {triage.category} {triage.priority_tier}; flags"
        f" {flags}"
    )
    age = (
        f"age {r.age}"
        if r.case.age_days is not None
        else f"{plain(triage.score_components.age)} points: age {r.age}"
    )
    if triage.deadline is None:
        yield f"{age}; no deadline"
    else:
        yield (
            f"{age}; deadline {triage.deadline}; {triage.deadline[2:]}-{r.age}={r.days_left} days"
            " left"
        )
    option = corporate_action_option(r.case)
    if option is not None:
        event = r.case.corporate_action
        means = {
            "A": "pre-event shares",
            "B": f"CUSIP {event.new_cusip}" if event else "",
            "C": "cash",
        }
        yield f"corporate action option {option}: {means[option]}"


def _inventory(r: Reading) -> Iterator[str]:
    held = r.case.inventory
    yield (
        f"box {_share(r, held.box_qty)}; recall {held.recall_outstanding}; borrow"
        f" {held.stock_loan_available}"
    )
    yield f"pending {held.pending_receives} not counted"
    if held.depot_qty:
        transit = (
            "no transit time"
            if held.depot_transit_days is None
            else f"transit {held.depot_transit_days} days"
        )
        yield f"depot {held.depot_qty}; {transit}"


def _ranking(r: Reading) -> Iterator[str]:
    count, shown = len(r.ranked), r.rules.chase_steps
    yield f"{count} FTRs, oldest then largest"
    for place, ftr in enumerate(r.ranked[:shown], 1):
        yield (
            f"{place} {ftr.dtc} {ftr.age_days}d {ftr.qty} {ftr.settlement_type}"
            f" {ftr.settlement_date}"
        )
    if count > shown:
        yield f"{count}-{shown}={count - shown} more"


def _walk(r: Reading) -> Iterator[str]:
    cash = r.stock.get("SPO_SETTLEMENT")
    if cash is not None:
        yield f"cash: {_open_and_covered(r, cash)}"
        return
    if len(r.ranked) <= r.rules.chase_steps:
        yield from _steps_one_by_one(r)
    else:
        yield from _steps_in_two_chains(r)
    if r.aggregate is not None:
        yield _rest(r, r.aggregate)
    yield f"box: {_taken(r, r.case.inventory.box_qty, r.left_by_chase, r.stock.get('APPLY_BOX'))}"
    if r.case.inventory.depot_qty:
        yield f"depot: {_depot(r)}"


def _steps_one_by_one(r: Reading) -> Iterator[str]:
    for place, (ftr, taken) in enumerate(r.receipts, 1):
        told = _open_and_covered(r, taken)
        if place <= TOLD_IN_FULL or taken.step.qty != ftr.qty:
            told = f"min({ftr.qty},{taken.before})={taken.step.qty}; {told}"
        yield f"{place}: {told}"


def _steps_in_two_chains(r: Reading) -> Iterator[str]:
    """Write shorter steps, because the ranking is cut and tokens are scarce.

    The first chain is the shares still open after each step; the second is the shares covered.
    """
    left = [f"open {r.owed}"]
    for ftr, taken in r.receipts:
        step = taken.step
        cut = step.qty != ftr.qty
        left.append(f"; min({ftr.qty},{taken.before})={step.qty}; {taken.before}" if cut else " ")
        left.append(f"-{step.qty}={step.remaining_short}")
    yield "".join(left)
    covered = [
        f"{r.owed - taken.step.remaining_short}/{r.owed}={_after(r, taken)}%"
        for _, taken in r.receipts
    ]
    yield f"covered {' '.join(covered)}"


def _rest(r: Reading, taken: Taken) -> str:
    """Add the fails to receive after the tenth, one by one until they suffice."""
    first = len(r.receipts)
    rest = [ftr.qty for ftr in r.ranked[first : first + r.plan.additional_ftrs_chased]]
    total, sums = 0, []
    for place, qty in enumerate(rest):
        total += qty
        sums.append(f"+{qty}={total}" if place else f"{qty}")
    return (
        f"rest: {' '.join(sums)}; {len(rest)} FTRs; min({total},{taken.before})={taken.step.qty};"
        f" {_open_and_covered(r, taken)}"
    )


def _taken(r: Reading, held: int, before: int, taken: Taken | None) -> str:
    if taken is None:
        return f"min({held},{before})=0"
    return f"min({held},{taken.before})={taken.step.qty}; {_open_and_covered(r, taken)}"


def _depot(r: Reading) -> str:
    transit = r.case.inventory.depot_transit_days
    if r.days_left is None:
        return "no deadline"
    if transit is None:
        return "no transit time"
    moves = transit < r.days_left
    told = f"{transit}<{r.days_left} {verdict(moves)}"
    if not moves:
        return told
    return (
        f"{told};"
        f" {_taken(r, r.case.inventory.depot_qty, r.left_by_box, r.stock.get('DEPOT_MOVEMENT'))}"
    )


def _open_and_covered(r: Reading, taken: Taken) -> str:
    """Write the shares still open after the step, and the covered percentage.

    Source: kb `plan.remaining`, `plan.coverage`.
    """
    qty, left = taken.step.qty, taken.step.remaining_short
    return (
        f"{taken.before}-{qty}={left}; {r.owed - taken.before}+{qty}={r.owed - left}"
        f" /{r.owed}={_after(r, taken)}%"
    )


def _after(r: Reading, taken: Taken) -> str:
    return f"{taken.step.coverage_after_step_pct:.{r.rules.coverage_decimals}f}"


def _share(r: Reading, shares: int) -> str:
    return f"{shares}/{r.owed}={coverage_pct(shares, r.owed, r.rules.coverage_decimals):f}%"


def _partials(r: Reading) -> Iterator[str]:
    """Write the partials. Fails to receive are named by their rank."""
    accepted = [
        f"{place}" for place, (ftr, _) in enumerate(r.receipts, 1) if ftr.partial_delivery_history
    ]
    yield f"accept partials of: {' '.join(accepted) or 'none'}"
    yield f"partial today: {_partial_step(r)}"
    netted = [
        f"{place}"
        for place, (_, taken) in enumerate(r.receipts, 1)
        if taken.step.action == "OFFSET_FTR"
    ]
    from_age = f"{r.age}+{r.rules.offset_older_by_days}={r.age + r.rules.offset_older_by_days}"
    yield (
        f"netting at T+0, or by T+{r.rules.offset_settles_by_day} from age {from_age}:"
        f" {' '.join(netted) or 'none'}"
    )


def _partial_step(r: Reading) -> str:
    """Write the three conditions, up to the first No."""
    days, left, limit = r.days_left, r.left_by_box, r.rules.partial_deadline_days
    if days is None:
        return "no deadline"
    told = f"{days}<={limit} {verdict(days <= limit)}"
    if days <= limit:
        covered = r.owed - left
        told = (
            f"{told}; open {left}>0 {verdict(left > 0)}; covered {covered}>0 {verdict(covered > 0)}"
        )
    return f"{told}; PARTIAL_DELIVER" if any(r.steps("PARTIAL_DELIVER")) else told


def _fallback(r: Reading) -> Iterator[str]:
    held, plan = r.case.inventory, r.plan
    left = r.owed - r.covered
    recall = min(held.recall_outstanding, left)
    told = f"min({held.recall_outstanding},{left})={recall}"
    if _parallel(r):
        mode, borrow_for = "parallel", left
    else:
        mode, borrow_for = "sequential", left - recall
        told = f"{told}; {left}-{recall}={borrow_for}"
    yield (
        f"{mode}: {told};"
        f" min({held.stock_loan_available},{borrow_for})="
        f"{min(held.stock_loan_available, borrow_for)}"
    )
    yield (
        f"{plan.fallback_strategy} {plan.fallback_qty}; {plan.secondary_fallback}"
        f" {plan.secondary_fallback_qty}"
    )


def _parallel(r: Reading) -> bool:
    return runs_in_parallel(r.case.inventory, r.days_left, r.rules)


def _reg_sho(r: Reading) -> Iterator[str]:
    """Compare the deadline with the notice period, then test both sources, up to the first No."""
    notice, days, held = r.rules.recall_notice_days, r.days_left, r.case.inventory
    told = f"recall notice {notice} days: "
    if days is None:
        yield f"{told}no deadline; sequential"
        return
    told += f"{days}<={notice} {verdict(days <= notice)}"
    if days <= notice:
        told += f"; recall {held.recall_outstanding}>0 {verdict(held.recall_outstanding > 0)}"
        if held.recall_outstanding:
            told += (
                f"; borrow {held.stock_loan_available}>0 {verdict(held.stock_loan_available > 0)}"
            )
    yield f"{told}; {'parallel' if _parallel(r) else 'sequential'}"


def _escalation(r: Reading) -> Iterator[str]:
    plan, covered = r.plan, r.covered
    with_first = covered + plan.fallback_qty
    total = (
        f"{covered}+{plan.fallback_qty}={with_first}"
        f" +{plan.secondary_fallback_qty}={plan.total_coverable}"
    )
    short = r.owed - plan.total_coverable
    yield (
        f"{total}; {r.owed}-{plan.total_coverable}={short}; max(0,{short})={plan.residual_short};"
        f" {plan.residual_action}"
    )
    if r.case.triage.category == "B2B_PENDING":
        noticed = [step.dtc or "the rest" for step in r.steps("BUY_IN_NOTICE")]
        yield f"buy-in notice from age {r.rules.b2b_notice_min_days}: {' '.join(noticed) or 'none'}"
    if r.case.triage.category == "CA_EVENT":
        yield "the counterparty must agree"


def _conclusion(r: Reading) -> Iterator[str]:
    plan = r.plan
    extent = f"{r.gridlock.extent} gridlock" if plan.gridlock_detected else "no gridlock"
    yield (
        f"total {plan.total_coverable}; residual {plan.residual_short}; {plan.residual_action};"
        f" {extent}"
    )
    yield f"coverage {_share(r, min(plan.total_coverable, r.owed))}"


_SECTIONS: dict[str, Callable[[Reading], Iterator[str]]] = {
    "Problem": _problem,
    "Inventory": _inventory,
    "FTR ranking": _ranking,
    "Chase walk-through": _walk,
    "Partials and cross-date netting": _partials,
    "Fallback": _fallback,
    "Reg SHO": _reg_sho,
    "Gridlock": tell_gridlock,
    "Escalation": _escalation,
    "Conclusion": _conclusion,
}
HEADINGS = tuple(_SECTIONS)
