"""Category, lifecycle, action and flags of a fail (kb: `triage.*`)."""

from __future__ import annotations

from finops_cli.domain.enums import Action, Category, Flag, LifecycleState, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.kb.chapters.triage import TriageRules


def category(record: FailRecord) -> Category:
    """Classify `record`; the first match wins. kb: `triage.category`."""
    if record.dk_reason:
        return "DK_DISPUTE"
    if record.corporate_action is not None:
        return "CA_EVENT"
    if record.cns_direction != "N_A":
        return "CNS_FAIL"
    return "B2B_PENDING" if record.awaiting_street_receipt else "DVP_FAIL"


def is_offset(record: FailRecord) -> bool:
    """True when CNS netting has removed the obligation. kb: `triage.lifecycle`."""
    position = record.cns_position
    if position is None:
        return False
    return (record.cns_direction == "FTD" and position >= 0) or (
        record.cns_direction == "FTR" and position <= 0
    )


def lifecycle_state(offset: bool, must_close_out: bool, tier: Tier) -> LifecycleState:
    """The state of a fail; the first match wins. kb: `triage.lifecycle`.

    `must_close_out`: a delivery obligation with the close-out regulatory factor.
    """
    if offset:
        return "OFFSET"
    if must_close_out:
        return "BUYIN"
    return "ESCALATED" if is_high(tier) else "OPEN"


def action(
    record: FailRecord, category: Category, state: LifecycleState, tier: Tier, rules: TriageRules
) -> Action:
    """The next action of the desk; the first match wins. kb: `triage.action`."""
    if state == "OFFSET":
        return "NO_ACTION"
    if category == "DK_DISPUTE":
        return "SEND_DK_NOTICE"
    if state == "BUYIN":
        return "INITIATE_BUYIN"
    if category == "CA_EVENT":
        return "ESCALATE"
    if category == "CNS_FAIL":
        if record.cns_direction == "FTD":
            return "LOCATE_AND_DELIVER"
        is_recent = record.age_days <= rules.ftr_monitor_max_days
        return "MONITOR_PENDING_RECEIPT" if is_recent else "INITIATE_BUYIN"
    if category == "B2B_PENDING":
        return "ESCALATE" if is_high(tier) else "MONITOR_PENDING_RECEIPT"
    is_covered = record.inventory_coverage_pct >= rules.dvp_deliver_min_pct
    return "LOCATE_AND_DELIVER" if record.side == "Sell" and is_covered else "CONTACT_COUNTERPARTY"


def is_high(tier: Tier) -> bool:
    return tier in ("HIGH", "CRITICAL")


def flags(
    record: FailRecord, close_out: bool, deadline: int | None, rules: TriageRules
) -> tuple[Flag, ...]:
    """The flags of a fail in their fixed order. kb: `triage.flags`.

    `close_out`: the regulatory state is CLOSE_OUT; `deadline`: N of the deadline T+N.
    """
    is_past_deadline = deadline is not None and record.age_days >= deadline
    is_raised: tuple[tuple[Flag, bool], ...] = (
        ("THRESHOLD_SECURITY", record.reg_sho_threshold),
        ("REG_SHO_CLOSEOUT", close_out or is_past_deadline),
        ("PROBLEM_CP", record.cp_fail_rate_pct > rules.problem_cp_over_pct),
        ("HIGH_VALUE", record.market_value >= rules.high_value_min_usd),
        ("AGED_FAIL", record.age_days >= rules.aged_min_days),
    )
    return tuple([flag for flag, raised in is_raised if raised])
