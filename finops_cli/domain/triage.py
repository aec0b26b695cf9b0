"""Stage 1's answer: exactly card 1's output schema, field order included."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, defstruct

from finops_cli.domain import limits
from finops_cli.domain.enums import (
    Action,
    Category,
    Direction,
    EscalationLevel,
    Flag,
    LifecycleState,
    Tier,
)
from finops_cli.domain.fail import TPlus

ScoreNumber = Annotated[
    Decimal,
    Meta(extra_json_schema={"minimum": -limits.SCORE_NUMBER, "maximum": limits.SCORE_NUMBER}),
]
FreeProse = Annotated[str, Meta(min_length=1, max_length=limits.TEXT_CHARS)]
ProseOrNone = Annotated[str, Meta(max_length=limits.TEXT_CHARS)]
"""A text that may be empty."""


class ScoreComponents(
    Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True, kw_only=True
):
    """The factors, the base score they add up to, and the two modifiers. Exact, unrounded."""

    age_factor: ScoreNumber
    value_factor: ScoreNumber
    regulatory_factor: ScoreNumber
    cp_history_factor: ScoreNumber
    base_score: ScoreNumber
    inventory_modifier: ScoreNumber
    concentration_modifier: ScoreNumber


def make_components_type(factor_fields: tuple[str, ...]) -> type[ScoreComponents]:
    """The type of `score_components` that shows these factors: card 1's fields, and after them one
    for each further factor.
    """
    further = [name for name in factor_fields if name not in ScoreComponents.__struct_fields__]
    if not further:
        return ScoreComponents
    wider: type[ScoreComponents] = defstruct(  # type: ignore[assignment]
        "ScoreComponents",
        [(name, ScoreNumber) for name in further],
        bases=(ScoreComponents,),
        frozen=True,
        forbid_unknown_fields=True,
        cache_hash=True,
        kw_only=True,
        module=__name__,
    )
    return wider


class Triage(Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True, kw_only=True):
    """How urgent a fail is (0-100, one decimal), and what to do about it."""

    category: Category
    cns_direction: Direction
    lifecycle_state: LifecycleState
    priority_score: ScoreNumber
    priority_tier: Tier
    category_priority_override: bool
    score_components: ScoreComponents
    reason: FreeProse
    action: Action
    escalation_level: EscalationLevel
    deadline: TPlus | None
    flags: Annotated[tuple[Flag, ...], Meta(max_length=limits.FLAGS)]
