"""The invariants that every plan holds by itself, whatever it answers (kb: `plan.*`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution
from finops_cli.kb.book import Book
from finops_cli.verify.judged import differs, same
from finops_cli.verify.plan_steps import steps_make_sense

_CHASES = ("CHASE_FTR", "NET_GRIDLOCK")


def own_findings(plan: Resolution, owed: int | None, book: Book) -> list[Finding]:
    """Findings of `plan` against itself. `owed`: the shares owed, told from the plan when None."""
    if owed is None:
        owed = _owed_as_stated(plan)
    return [
        *_steps_add_up(plan, owed, book),
        *_totals_add_up(plan, owed),
        *_fields_agree(plan),
        *steps_make_sense(plan),
    ]


def _owed_as_stated(plan: Resolution) -> int | None:
    """The shares owed that most lines of the plan agree on; None when nothing tells."""
    told: Counter[int] = Counter()
    covered = 0
    for step in plan.resolution_steps:
        covered += step.qty
        told[covered + step.remaining_short] += 1
    if plan.residual_short:
        told[plan.total_coverable + plan.residual_short] += 1
    return told.most_common(1)[0][0] if told else None


def _steps_add_up(plan: Resolution, owed: int | None, book: Book) -> Iterator[Finding]:
    covered = 0
    decimals = book.waterfall.coverage_decimals
    for number, step in enumerate(plan.resolution_steps, start=1):
        covered += step.qty
        path = f"/resolution_steps/{number - 1}"
        if step.step != number:
            yield differs("plan.numbering", f"{path}/step", number, step.step)
        if not owed:
            continue
        if covered > owed:
            yield differs(
                "waterfall.quantity",
                f"{path}/qty",
                step.qty - (covered - owed),
                step.qty,
                f"{owed} shares are owed",
            )
        if step.remaining_short != owed - covered:
            yield differs(
                "plan.remaining",
                f"{path}/remaining_short",
                max(0, owed - covered),
                step.remaining_short,
            )
        if (
            coverage := half_up_pct(covered, owed, decimals)
        ) != step.coverage_after_step_pct and not same(
            coverage, step.coverage_after_step_pct, book.tolerance
        ):
            because = f"{covered} of {owed} shares"
            yield differs(
                "plan.coverage",
                f"{path}/coverage_after_step_pct",
                coverage,
                step.coverage_after_step_pct,
                because,
            )


def half_up_pct(covered: int, owed: int, decimals: int) -> Decimal:
    """covered / owed in percent by whole division and its remainder; the plan reckons it another
    way.
    """
    units, rest = divmod(covered * 100 * 10**decimals, owed)
    return Decimal(units + (2 * rest >= owed)).scaleb(-decimals)


def _totals_add_up(plan: Resolution, owed: int | None) -> Iterator[Finding]:
    total = (
        sum(step.qty for step in plan.resolution_steps)
        + plan.fallback_qty
        + plan.secondary_fallback_qty
    )
    if plan.total_coverable != total:
        yield differs(
            "plan.total",
            "/total_coverable",
            total,
            plan.total_coverable,
            "sum of steps and fallbacks",
        )
    if owed is not None and plan.residual_short != max(0, owed - plan.total_coverable):
        because = f"{owed} owed, {plan.total_coverable} coverable"
        yield differs(
            "plan.residual",
            "/residual_short",
            max(0, owed - plan.total_coverable),
            plan.residual_short,
            because,
        )


def _fields_agree(plan: Resolution) -> Iterator[Finding]:
    short = plan.residual_short > 0
    if plan.residual_action != ("ESCALATE" if short else "NONE"):
        yield differs(
            "plan.residual",
            "/residual_action",
            "ESCALATE" if short else "NONE",
            plan.residual_action,
        )
    if plan.escalation_required != short:
        yield differs("plan.escalation", "/escalation_required", short, plan.escalation_required)
    if bool(plan.escalation_reason) != short:
        yield differs(
            "plan.escalation",
            "/escalation_reason",
            "a reason" if short else "",
            plan.escalation_reason,
        )
    in_gridlock = bool(plan.gridlock_parties)
    if plan.gridlock_detected != in_gridlock:
        yield differs(
            "gridlock.detected",
            "/gridlock_detected",
            in_gridlock,
            plan.gridlock_detected,
            "as its parties say",
        )
    yield from _fallbacks_agree(plan)
    aggregated = any(step.dtc is None and step.action in _CHASES for step in plan.resolution_steps)
    if (plan.additional_ftrs_chased > 0) != aggregated:
        count = "more than 0" if aggregated else 0
        because = "counts what the aggregated step holds"
        yield differs(
            "waterfall.chase",
            "/additional_ftrs_chased",
            count,
            plan.additional_ftrs_chased,
            because,
        )


def _fallbacks_agree(plan: Resolution) -> Iterator[Finding]:
    first, second = plan.fallback_strategy, plan.secondary_fallback
    if (first == "NONE") != (plan.fallback_qty == 0):
        yield differs(
            "waterfall.fallback", "/fallback_qty", _quantity_for(first), plan.fallback_qty
        )
    if (second == "NONE") != (plan.secondary_fallback_qty == 0):
        yield differs(
            "waterfall.fallback",
            "/secondary_fallback_qty",
            _quantity_for(second),
            plan.secondary_fallback_qty,
        )
    if second == "INITIATE_RECALL":
        yield differs(
            "waterfall.fallback",
            "/secondary_fallback",
            "SOURCE_BORROW",
            second,
            "borrow is the last resort",
        )
    elif second == "SOURCE_BORROW" and first != "INITIATE_RECALL":
        yield differs(
            "waterfall.fallback",
            "/fallback_strategy",
            "INITIATE_RECALL",
            first,
            "recall comes before borrow",
        )


def _quantity_for(strategy: str) -> str | int:
    return 0 if strategy == "NONE" else "more than 0"
