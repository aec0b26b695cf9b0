"""The waterfall begins with fails to receive, in rank order (kb: `waterfall.rank`, `.chase`,
`.offset`, `.b2b_notice`).
"""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.domain.enums import StepAction
from finops_cli.domain.fail import Ftr
from finops_cli.domain.money import render_quantity
from finops_cli.kb.chapters.waterfall import WaterfallRules
from finops_cli.rules.deadlines import parse_t_plus
from finops_cli.rules.ledger import Ledger


def rank(ftrs: Sequence[Ftr]) -> list[Ftr]:
    """Oldest first, then largest, then by DTC number."""
    return sorted(ftrs, key=_rank_key)


def _rank_key(ftr: Ftr) -> tuple[int, int, str]:
    return (-ftr.age_days, -available_qty(ftr), ftr.dtc)


def available_qty(ftr: Ftr) -> int:
    """Return the shares that a plan may take: what the book allocates, else all of them."""
    return ftr.qty if ftr.allocated_qty is None else ftr.allocated_qty


def chase(
    ledger: Ledger,
    ftrs: Sequence[Ftr],
    chase_action: StepAction,
    age_days: int,
    b2b: bool,
    rules: WaterfallRules,
) -> int:
    """Add the chase steps to `ledger`; returns how many fails to receive the aggregated step holds.

    `chase_action` is CHASE_FTR, or NET_GRIDLOCK in full gridlock; `age_days` is the age of the fail
    itself.
    """
    given = [ftr for ftr in ftrs if ftr.allocated_qty != 0]
    ranked = rank(given) if len(given) > 1 else given
    for ftr in ranked[: rules.chase_steps]:
        if not ledger.remaining:
            return 0
        action = "OFFSET_FTR" if nets_across_dates(ftr, age_days, rules) else chase_action
        ledger.take(
            action,
            ledger.cap(available_qty(ftr)),
            _rationale(ftr, action),
            ftr.dtc,
            ftr.settlement_type,
            ftr.settlement_date,
        )
        if b2b and action == "CHASE_FTR" and ftr.age_days >= rules.b2b_notice_min_days:
            ledger.take(
                "BUY_IN_NOTICE",
                0,
                f"Street side {ftr.age_days}d late: formal buy-in notice",
                ftr.dtc,
            )
    if len(ranked) <= rules.chase_steps:
        return 0
    return _chase_rest(ledger, ranked[rules.chase_steps :], chase_action, b2b, rules)


def _chase_rest(
    ledger: Ledger, rest: Sequence[Ftr], chase_action: StepAction, b2b: bool, rules: WaterfallRules
) -> int:
    qty, needed = 0, 0
    for ftr in rest:
        if qty >= ledger.remaining:
            break
        qty += available_qty(ftr)
        needed += 1
    if needed:
        ledger.take(
            chase_action,
            ledger.cap(qty),
            f"{needed} further fails to receive, chased together",
        )
        if b2b and chase_action == "CHASE_FTR" and rest[0].age_days >= rules.b2b_notice_min_days:
            ledger.take(
                "BUY_IN_NOTICE",
                0,
                "Formal buy-in notice to the aged fails to receive chased together",
            )
    return needed


def nets_across_dates(ftr: Ftr, age_days: int, rules: WaterfallRules) -> bool:
    """kb: `waterfall.offset`."""
    settles_in = parse_t_plus(ftr.settlement_date)
    return settles_in == 0 or (
        settles_in <= rules.offset_settles_by_day
        and ftr.age_days - age_days >= rules.offset_older_by_days
    )


def _rationale(ftr: Ftr, action: StepAction) -> str:
    aged = f"Aged {ftr.age_days}d"
    if action == "OFFSET_FTR":
        return f"{aged}, settles {ftr.settlement_date}: netted across dates"
    shares = f"{aged}, {render_quantity(ftr.qty)} shares"
    if action == "NET_GRIDLOCK":
        return f"{shares} in gridlock: propose net settlement"
    return shares
