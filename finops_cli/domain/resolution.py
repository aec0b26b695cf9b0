"""Stage 2: its input and its answer, exactly card 2's schemas, field order included.

The input has optional fields that card 2 lacks and its rules need: `age_days`, `corporate_action`,
`inventory.depot_*`, `ftrs[].chase_attempts`, and those of a part of a book
(`inventory.recall_notice_days`, `ftrs[].allocated_qty`). `fail_id` names the output line.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from finops_cli.domain import limits
from finops_cli.domain.enums import (
    Action,
    Category,
    Direction,
    Fallback,
    HandoffEscalationLevel,
    HandoffFlag,
    HandoffLifecycleState,
    ResidualAction,
    SettlementType,
    StepAction,
    Tier,
)
from finops_cli.domain.fail import (
    CorporateAction,
    Cusip,
    Days,
    Dtc,
    Ftrs,
    Identifier,
    Inventory,
    OwedShares,
    RelatedFails,
    Shares,
    TPlus,
)
from finops_cli.domain.triage import FreeProse, ProseOrNone, ScoreNumber


class WeightedContributions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The points that each factor adds to the base score."""

    age: ScoreNumber
    value: ScoreNumber
    regulatory: ScoreNumber
    counterparty: ScoreNumber


class HandoffTriage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A triage in the form that card 2 takes as input."""

    category: Category
    cns_direction: Direction
    lifecycle_state: HandoffLifecycleState
    priority_score: ScoreNumber
    priority_tier: Tier
    score_components: WeightedContributions
    reason: ProseOrNone
    action: Action
    escalation_level: HandoffEscalationLevel
    deadline: TPlus | None
    flags: Annotated[tuple[HandoffFlag, ...], Meta(max_length=limits.FLAGS)]


class ResolverInput(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fail to resolve: `ftd_qty` shares are owed."""

    triage: HandoffTriage
    cusip: Cusip
    ftd_qty: OwedShares
    inventory: Inventory
    ftrs: Ftrs = ()
    related_fails: RelatedFails = ()
    age_days: Days | None = None
    corporate_action: CorporateAction | None = None
    fail_id: Identifier | None = None
    deadline_days: (
        Annotated[int, Meta(ge=-limits.AGE_DAYS, le=limits.AGE_DAYS)] | UnsetType | None
    ) = UNSET
    """Settlement days to the law's deadline, negative when past; null: it has none. Absent: the
    card's T+N counts.
    """
    deadline_basis: Identifier | UnsetType = UNSET
    """The rule that `deadline_days` comes from, such as SHO-204(a)."""


class Step(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One action of a plan. Quantities in shares; coverage in percent of the shares owed."""

    step: Annotated[int, Meta(ge=0, le=limits.STEPS)]
    action: StepAction
    dtc: Dtc | None
    qty: Shares
    settlement_type: SettlementType | None
    settlement_date: TPlus | None
    rationale: FreeProse
    coverage_after_step_pct: ScoreNumber
    remaining_short: Shares


class Resolution(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The plan: steps in order, what may be sourced beyond them, and what stays uncovered."""

    resolution_steps: Annotated[tuple[Step, ...], Meta(max_length=limits.STEPS)]
    additional_ftrs_chased: Annotated[int, Meta(ge=0, le=limits.FTRS)]
    fallback_strategy: Fallback
    fallback_qty: Shares
    secondary_fallback: Fallback
    secondary_fallback_qty: Shares
    total_coverable: Annotated[int, Meta(ge=0, le=2 * limits.SHARES)]
    residual_short: Shares
    residual_action: ResidualAction
    gridlock_detected: bool
    gridlock_parties: Annotated[tuple[Dtc, ...], Meta(max_length=limits.FTRS)]
    escalation_required: bool
    escalation_reason: ProseOrNone
    narrative: FreeProse
