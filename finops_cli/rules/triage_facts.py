"""The facts of a record on which its triage rests, but for the shares and the days of its reason.

A number is here as its cell between the bounds of the rules. So many records have equal facts, and
a triage is computed once for all of them.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from finops_cli.domain.enums import Category, Direction, RegShoStatus, Side
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import Percent
from finops_cli.kb.bands import BandTable, Bound, Cells
from finops_cli.kb.factors import NumberOf, read_state
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules import classification


class TriageFacts(Struct, frozen=True, kw_only=True):
    """Everything on which a triage rests. Records with equal facts differ only in its reason."""

    age: int
    """The cell of the age, as `market_value`, `coverage` and `cp_rate` are cells."""
    market_value: int
    coverage: int
    cp_rate: int
    is_security_rate_high: bool
    """True where the fail rate of the security raises the score."""
    category: Category
    side: Side
    cns_direction: Direction
    is_cns_eligible: bool
    is_offset: bool
    reg_sho_status: RegShoStatus | None
    is_threshold_security: bool


class ComparedNumbers(Struct, frozen=True, eq=False):
    """The numbers of a record that the rules of a triage compare with their bounds."""

    age: Cells
    market_value: Cells
    coverage: Cells
    cp_rate: Cells
    is_complete: bool
    """False where a factor of the score rests on more than these and the regulatory state: then
    records with equal facts may have different scores.
    """


def read_facts(record: FailRecord, compared: ComparedNumbers, kb: KnowledgeBase) -> TriageFacts:
    """Read the facts of `record`."""
    security_rate = record.security_fail_rate_pct_adv
    return TriageFacts(
        age=compared.age.cell(record.age_days),
        market_value=compared.market_value.cell(record.market_value),
        coverage=compared.coverage.cell(record.inventory_coverage_pct),
        cp_rate=compared.cp_rate.cell(record.cp_fail_rate_pct),
        is_security_rate_high=security_rate is not None
        and security_rate > kb.scoring.security_rate_over_pct_adv,
        category=classification.category(record),
        side=record.side,
        cns_direction=record.cns_direction,
        is_cns_eligible=record.cns_eligible,
        is_offset=classification.is_offset(record),
        reg_sho_status=record.reg_sho_status,
        is_threshold_security=record.reg_sho_threshold,
    )


def make_record_with(facts: TriageFacts, kb: KnowledgeBase) -> FailRecord:
    """Make a record that has these facts: the rules of a triage answer it as all that have them."""
    compared, over = collect_bounds(kb), kb.scoring.security_rate_over_pct_adv
    return FailRecord(
        cusip="",
        counterparty="",
        qty=1,
        age_days=compared.age.numbers[facts.age],
        market_value=compared.market_value.numbers[facts.market_value],
        inventory_coverage_pct=compared.coverage.numbers[facts.coverage],
        cp_fail_rate_pct=compared.cp_rate.numbers[facts.cp_rate],
        security_fail_rate_pct_adv=Percent(over + 1) if facts.is_security_rate_high else None,
        side=facts.side,
        cns_direction=facts.cns_direction,
        cns_eligible=facts.is_cns_eligible,
        reg_sho_status=facts.reg_sho_status,
        reg_sho_threshold=facts.is_threshold_security,
    )


@lru_cache(maxsize=8)
def collect_bounds(kb: KnowledgeBase) -> ComparedNumbers:
    """Collect the bounds of every rule of a triage, by the number that it compares."""
    scoring, triage = kb.scoring, kb.triage
    first_days = (
        triage.approaching_min_days,
        triage.close_out_min_days,
        triage.deadline_standard,
        triage.deadline_threshold,
        triage.aged_min_days,
        triage.ftr_monitor_max_days + 1,
    )
    bounds = {
        "age_days": [Bound(day, belongs_below=False) for day in first_days],
        "market_value": [Bound(triage.high_value_min_usd, belongs_below=False)],
        "inventory_coverage_pct": [
            *scoring.inventory_modifier.bounds(),
            Bound(triage.dvp_deliver_min_pct, belongs_below=False),
        ],
        "cp_fail_rate_pct": [
            Bound(triage.problem_cp_over_pct, belongs_below=True),
            Bound(scoring.cp_rate_over_pct, belongs_below=True),
        ],
    }
    is_complete = True
    for factor in scoring.factors:
        read, table = factor.row.read, factor.table
        if isinstance(read, NumberOf) and read.field in bounds and isinstance(table, BandTable):
            bounds[read.field] += table.bounds(of_whole_numbers=read.field == "age_days")
        else:
            is_complete = is_complete and read is read_state
    age, market_value, coverage, cp_rate = map(Cells, bounds.values())
    return ComparedNumbers(age, market_value, coverage, cp_rate, is_complete)
