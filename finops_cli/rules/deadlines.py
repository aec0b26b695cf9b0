"""Days left to the close-out deadline of a resolver input, and what comes within them (kb:
`deadline.days`, `waterfall.depot`).
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import UNSET
from msgspec.structs import replace

from finops_cli.domain.enums import RegShoStatus
from finops_cli.domain.fail import FailRecord, Inventory
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.chapters.triage import TriageRules

NO_DUTY = "no binding duty"
"""`deadline_basis` of a case whose fail has no duty under the law."""


def deadline_days(case: ResolverInput, rules: ScoringRules) -> int | None:
    """Settlement days left, negative when past; None when the fail has no deadline.

    Raises ValueError when neither `age_days` nor the age component gives the age.
    """
    return days_left(case, age_days(case, rules))


def by_regulation(case: ResolverInput, days: int | None, rule: str | None) -> ResolverInput:
    """Put the law's days into a case. kb: `deadline.days`.

    `days` is None and `rule` is None for a fail without a binding duty: it has no clock.
    """
    return replace(case, deadline_days=days, deadline_basis=rule or NO_DUTY)


def days_left(case: ResolverInput, age: int) -> int | None:
    """Settlement days left for a case of a known age; None when it has no deadline.

    A case with `deadline_days` has the days of the law, else those of the card.
    """
    given = case.deadline_days
    if given is not UNSET:
        return given
    deadline = case.triage.deadline
    return None if deadline is None else parse_t_plus(deadline) - age


@lru_cache(maxsize=1024)
def parse_t_plus(day: str) -> int:
    """Return N of the day T+N."""
    return int(day.removeprefix("T+"))


def depot_in_time(inventory: Inventory, days: int | None) -> bool:
    """True when depot shares arrive before a deadline `days` away. kb: `waterfall.depot`."""
    transit = inventory.depot_transit_days
    return days is not None and transit is not None and transit < days


def age_days(case: ResolverInput, rules: ScoringRules) -> int:
    """The age given, or the last day of the band that `score_components.age` implies (the first day
    of the open band).

    Raises ValueError when the component is not a weighted value of the age table.
    """
    if case.age_days is not None:
        return case.age_days
    contribution, weight = case.triage.score_components.age, rules.weight("age")
    for band, factor in enumerate(rules.age_factor.values):
        if factor * weight == contribution:
            return _last_day(band, rules)
    raise ValueError(accepted_ages(rules))


def accepted_ages(rules: ScoringRules) -> str:
    weight = rules.weight("age")
    contributions = ", ".join(str(factor * weight) for factor in rules.age_factor.values)
    return f"age_days, or score_components.age as one of {contributions}"


def _last_day(band: int, rules: ScoringRules) -> int:
    edge = rules.age_factor.upper_edge(band)
    if edge is None:
        return _last_day(band - 1, rules) + 1
    day, belongs = edge
    return int(day) if belongs else int(day) - 1


def has_delivery_obligation(record: FailRecord) -> bool:
    """True when shares are owed by us. kb: `regsho.obligation`."""
    return record.cns_direction == "FTD" or record.side == "Sell"


def regulatory_state(record: FailRecord, rules: TriageRules) -> RegShoStatus:
    """The given state, else the one that age and threshold list imply. kb: `regsho.state`."""
    if record.reg_sho_status is not None:
        return record.reg_sho_status
    if not has_delivery_obligation(record):
        return "NONE"
    if record.age_days >= rules.close_out_min_days:
        return "CLOSE_OUT"
    if record.reg_sho_threshold:
        return "THRESHOLD"
    return "APPROACHING" if record.age_days >= rules.approaching_min_days else "NONE"


def deadline_day(record: FailRecord, rules: TriageRules) -> int | None:
    """N of the deadline T+N; None without a delivery obligation. kb: `triage.deadline`."""
    if not has_delivery_obligation(record):
        return None
    return rules.deadline_threshold if record.reg_sho_threshold else rules.deadline_standard
