"""Stage 2 as one function: the resolution waterfall (kb: `waterfall.*`, `plan.*`)."""

from __future__ import annotations

from finops_cli.domain.enums import StepAction
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.chapters.waterfall import WaterfallRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.chase import chase
from finops_cli.rules.deadlines import age_days, days_left, depot_in_time
from finops_cli.rules.gridlock import Gridlock, assess
from finops_cli.rules.ledger import Ledger
from finops_cli.rules.narrative import narrative
from finops_cli.rules.sourcing import Fallbacks, corporate_action_option, fallbacks


def resolve(case: ResolverInput, kb: KnowledgeBase) -> Resolution:
    """The ordered plan for `case`.

    Raises ValueError when its age cannot be told (see `rules.clock`).
    """
    rules = kb.waterfall
    age = age_days(case, kb.scoring)
    remaining_days = days_left(case, age)
    gridlock = assess(case, rules)
    ledger = Ledger(case.ftd_qty, rules.coverage_decimals)
    if corporate_action_option(case) == "C":
        ledger.take(
            "SPO_SETTLEMENT",
            case.ftd_qty,
            "Shares cannot be delivered after the event: settle in cash",
        )
        return _plan(case, ledger, 0, gridlock, Fallbacks())
    chase_action: StepAction = "NET_GRIDLOCK" if gridlock.extent == "full" else "CHASE_FTR"
    aggregated = chase(
        ledger, case.ftrs, chase_action, age, case.triage.category == "B2B_PENDING", rules
    )
    _own_stock(ledger, case, remaining_days, rules)
    sources = fallbacks(case.inventory, ledger.remaining, remaining_days, rules)
    return _plan(case, ledger, aggregated, gridlock, sources)


def _own_stock(
    ledger: Ledger, case: ResolverInput, days: int | None, rules: WaterfallRules
) -> None:
    inventory = case.inventory
    box = min(inventory.box_qty, ledger.remaining)
    if box:
        ledger.take("APPLY_BOX", box, f"Free box holds {inventory.box_qty:,} unencumbered shares")
    if days is None:
        return
    if ledger.remaining and ledger.covered and days <= rules.partial_deadline_days:
        ledger.take("PARTIAL_DELIVER", 0, f"{_days_in_words(days)}: deliver today what is in hand")
    depot = min(inventory.depot_qty, ledger.remaining)
    if depot and depot_in_time(inventory, days):
        ledger.take(
            "DEPOT_MOVEMENT",
            depot,
            f"Depot shares arrive in {inventory.depot_transit_days}d, {_days_in_words(days)}",
        )


def _days_in_words(days: int) -> str:
    return (
        f"{days}d to the deadline"
        if days > 0
        else f"deadline reached {-days}d ago"
        if days
        else "deadline is today"
    )


def _plan(
    case: ResolverInput, ledger: Ledger, aggregated: int, gridlock: Gridlock, sources: Fallbacks
) -> Resolution:
    total = ledger.covered + sources.first_qty + sources.second_qty
    residual = max(0, case.ftd_qty - total)
    return Resolution(
        tuple(ledger.steps),
        aggregated,
        sources.first,
        sources.first_qty,
        sources.second,
        sources.second_qty,
        total,
        residual,
        "ESCALATE" if residual else "NONE",
        gridlock.extent != "none",
        gridlock.parties,
        residual > 0,
        f"Residual {residual:,} of {case.ftd_qty:,} shares has no source" if residual else "",
        narrative(case, ledger.steps, gridlock, sources, residual),
    )
