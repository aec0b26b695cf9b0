"""The thresholds of a triage: its flags, its actions and the Reg SHO deadlines."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.kb.compiler import Compiler


class TriageRules(Struct, frozen=True, eq=False, kw_only=True):
    """Bounds of flags, actions and the Reg SHO clock (kb: `flag.*`, `action.*`, `regsho.*`,
    `deadline.*`).
    """

    ftr_monitor_max_days: int
    dvp_deliver_min_pct: Decimal
    problem_cp_over_pct: Decimal
    high_value_min_usd: Decimal
    aged_min_days: int
    close_out_min_days: int
    approaching_min_days: int
    deadline_standard: int
    deadline_threshold: int


def compile_triage(c: Compiler) -> TriageRules:
    return TriageRules(
        ftr_monitor_max_days=c.whole("action.ftr_monitor_max_days"),
        dvp_deliver_min_pct=c.number("action.dvp_deliver_min_pct"),
        problem_cp_over_pct=c.number("flag.problem_cp_over_pct"),
        high_value_min_usd=c.number("flag.high_value_min_usd"),
        aged_min_days=c.whole("flag.aged_min_days"),
        close_out_min_days=c.whole("regsho.close_out_min_days"),
        approaching_min_days=c.whole("regsho.approaching_min_days"),
        deadline_standard=c.whole("deadline.standard", highest=999),
        deadline_threshold=c.whole("deadline.threshold", highest=999),
    )
