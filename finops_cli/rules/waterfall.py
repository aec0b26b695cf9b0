"""Stage 2: plan a resolution by the waterfall (kb: `waterfall.*`, `plan.*`)."""

from __future__ import annotations

from finops_cli.domain.enums import StepAction
from finops_cli.domain.money import render_quantity
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.chapters.waterfall import WaterfallRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.chase import chase
from finops_cli.rules.deadlines import age_days, days_left, depot_in_time
from finops_cli.rules.gridlock import Gridlock, assess
from finops_cli.rules.ledger import Ledger
from finops_cli.rules.narrative import narrative
from finops_cli.rules.sourcing import Fallbacks, corporate_action_option, fallbacks


def resolve(case: ResolverInput, kb: KnowledgeBase, gridlock: Gridlock | None = None) -> Resolution:
    """Plan the resolution of `case`.

    `gridlock` is the verdict over all receives, where the case has only those that a plan of the
    whole book allocates to it; None: judge it by the receives of the case.

    Raises ValueError when its age cannot be derived (`rules.deadlines.age_days`).
    """
    rules = kb.waterfall
    age = age_days(case, kb.scoring)
    remaining_days = days_left(case, age)
    gridlock = gridlock or assess(case, rules)
    ledger = Ledger(case.ftd_qty, rules.coverage_decimals)
    if corporate_action_option(case) == "C":
        ledger.take(
            "SPO_SETTLEMENT",
            case.ftd_qty,
            "Shares cannot be delivered after the event: settle in cash",
        )
        return _complete(case, ledger, 0, gridlock, Fallbacks())
    chase_action: StepAction = "NET_GRIDLOCK" if gridlock.extent == "full" else "CHASE_FTR"
    aggregated = chase(
        ledger, case.ftrs, chase_action, age, case.triage.category == "B2B_PENDING", rules
    )
    _apply_own_stock(ledger, case, remaining_days, rules)
    sources = fallbacks(case.inventory, ledger.remaining, remaining_days, rules)
    return _complete(case, ledger, aggregated, gridlock, sources)


def _apply_own_stock(
    ledger: Ledger, case: ResolverInput, days: int | None, rules: WaterfallRules
) -> None:
    inventory = case.inventory
    if inventory.box_qty and ledger.remaining:
        held = render_quantity(inventory.box_qty)
        rationale = f"Free box holds {held} unencumbered shares"
        ledger.take("APPLY_BOX", ledger.cap(inventory.box_qty), rationale)
    if days is None or not ledger.remaining:
        return
    if ledger.covered and days <= rules.partial_deadline_days:
        ledger.take("PARTIAL_DELIVER", 0, f"{_describe_days(days)}: deliver today what is in hand")
    if inventory.depot_qty and depot_in_time(inventory, days):
        ledger.take(
            "DEPOT_MOVEMENT",
            ledger.cap(inventory.depot_qty),
            f"Depot shares arrive in {inventory.depot_transit_days}d, {_describe_days(days)}",
        )


def _describe_days(days: int) -> str:
    return (
        f"{days}d to the deadline"
        if days > 0
        else f"deadline reached {-days}d ago"
        if days
        else "deadline is today"
    )


def _complete(
    case: ResolverInput, ledger: Ledger, aggregated: int, gridlock: Gridlock, sources: Fallbacks
) -> Resolution:
    owed = case.ftd_qty
    total = ledger.covered + sources.first_qty + sources.second_qty
    residual = owed - total if owed > total else 0
    escalation = ""
    if residual:
        shares = f"{render_quantity(residual)} of {render_quantity(owed)} shares"
        escalation = f"Residual {shares} has no source"
    return Resolution(
        resolution_steps=tuple(ledger.steps),
        additional_ftrs_chased=aggregated,
        fallback_strategy=sources.first,
        fallback_qty=sources.first_qty,
        secondary_fallback=sources.second,
        secondary_fallback_qty=sources.second_qty,
        total_coverable=total,
        residual_short=residual,
        residual_action="ESCALATE" if residual else "NONE",
        gridlock_detected=gridlock.extent != "none",
        gridlock_parties=gridlock.parties,
        escalation_required=residual > 0,
        escalation_reason=escalation,
        narrative=narrative(case, ledger.steps, gridlock, sources, residual),
    )
