"""The facts of a record on which its triage rests."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.enums import Category, Direction


class TriageFacts(Struct, frozen=True, kw_only=True):
    """Everything on which a triage rests, but for the shares and the days that its reason tells.

    A number stands here as its band, or as the answer to the question that a rule asks of it. So
    many records have equal facts, and a triage is computed once for all of them.
    """

    factors: tuple[Decimal, ...]
    """The values of the factors of the score, in their order."""
    inventory_modifier: Decimal
    conditions: tuple[str, ...]
    """The members of `score.concentration_modifier` that apply."""
    category: Category
    cns_direction: Direction
    is_offset: bool
    deadline: int | None
    """N of the deadline T+N; None without a delivery obligation."""
    is_past_deadline: bool
    is_threshold_security: bool
    has_problem_cp: bool
    is_high_value: bool
    is_aged: bool
    is_recent: bool
    """True while a fail to receive is only monitored."""
    is_deliverable: bool
    """True for a sale that the inventory covers far enough to deliver it."""
