"""Days left to the close-out deadline of a resolver input, and what comes within them (kb:
`deadline.days`, `waterfall.depot`).
"""

from __future__ import annotations

from finops_cli.domain.fail import Inventory
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.book import ScoringBook


def deadline_days(case: ResolverInput, book: ScoringBook) -> int | None:
    """Settlement days left, negative when past; None when the fail has no deadline.

    Raises ValueError when the age can be told neither from `age_days` nor from the age component.
    """
    return days_left(case, age_days(case, book))


def days_left(case: ResolverInput, age: int) -> int | None:
    """The same, for a case whose age is known."""
    deadline = case.triage.deadline
    return None if deadline is None else int(deadline[2:]) - age


def depot_in_time(inventory: Inventory, days: int | None) -> bool:
    """Whether shares of the depot arrive before the deadline that is `days` away (kb:
    `waterfall.depot`).
    """
    transit = inventory.depot_transit_days
    return days is not None and transit is not None and transit < days


def age_days(case: ResolverInput, book: ScoringBook) -> int:
    """The age given, or the last day of the band that `score_components.age` implies (the first day
    of the open band).

    Raises ValueError when the component is no factor of the age table times its weight.
    """
    if case.age_days is not None:
        return case.age_days
    contribution = case.triage.score_components.age
    for band, factor in enumerate(book.age_factor.values):
        if factor * book.weights["age"] == contribution:
            return _last_day(band, book)
    raise ValueError(accepted_ages(book))


def accepted_ages(book: ScoringBook) -> str:
    contributions = ", ".join(
        str(factor * book.weights["age"]) for factor in book.age_factor.values
    )
    return f"age_days, or score_components.age as one of {contributions}"


def _last_day(band: int, book: ScoringBook) -> int:
    edge = book.age_factor.upper_edge(band)
    if edge is None:
        return _last_day(band - 1, book) + 1
    day, belongs = edge
    return int(day) if belongs else int(day) - 1
