"""The knowledge base as typed books, one a chapter, that the rules take as argument."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from finops_cli.kb.compiler import Compiler


@dataclass(frozen=True, eq=False, slots=True)
class TriageRules:
    """Bounds of flags, actions and the Reg SHO clock (kb: `flag.*`, `action.*`, `regsho.*`,
    `deadline.*`).
    """

    ftr_monitor_to: int
    dvp_deliver_from: Decimal
    problem_cp_over: Decimal
    high_value_from: Decimal
    aged_from: int
    close_out_from: int
    approaching_from: int
    deadline_standard: int
    deadline_threshold: int


def compile_triage(c: Compiler) -> TriageRules:
    return TriageRules(
        ftr_monitor_to=c.whole("action.ftr_monitor_to"),
        dvp_deliver_from=c.number("action.dvp_deliver_from"),
        problem_cp_over=c.number("flag.problem_cp_over"),
        high_value_from=c.number("flag.high_value_from"),
        aged_from=c.whole("flag.aged_from"),
        close_out_from=c.whole("regsho.close_out_from"),
        approaching_from=c.whole("regsho.approaching_from"),
        deadline_standard=c.whole("deadline.standard", highest=999),
        deadline_threshold=c.whole("deadline.threshold", highest=999),
    )
