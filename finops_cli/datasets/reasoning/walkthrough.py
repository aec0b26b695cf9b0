"""A plan laid beside its input, as the reasoning trace tells it: nothing is reckoned here but what
stood before each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from finops_cli.domain.enums import StepAction
from finops_cli.domain.fail import Ftr
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.kb.chapters.waterfall import WaterfallRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.chase import rank
from finops_cli.rules.deadlines import age_days, deadline_days
from finops_cli.rules.gridlock import Gridlock, assess

_RECEIPTS: frozenset[StepAction] = frozenset(("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK"))


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that covers something, and what was open before it."""

    step: Step
    before: int


@dataclass(frozen=True, slots=True)
class Reading:
    """`receipts` are the fails to receive with a step of their own, in rank order; `aggregate` is
    the step of the rest.
    """

    case: ResolverInput
    plan: Resolution
    rules: WaterfallRules
    ranked: list[Ftr]
    age: int
    days_left: int | None
    gridlock: Gridlock
    receipts: list[tuple[Ftr, Taken]]
    aggregate: Taken | None
    stock: dict[StepAction, Taken]
    left_by_chase: int
    left_by_box: int

    @property
    def owed(self) -> int:
        return self.case.ftd_qty

    @property
    def covered(self) -> int:
        """By all steps, before the fallbacks."""
        return sum(step.qty for step in self.plan.resolution_steps)

    def steps(self, action: StepAction) -> Iterator[Step]:
        return (step for step in self.plan.resolution_steps if step.action == action)


def read(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> Reading:
    """`plan` as the answer to `case`.

    Raises ValueError when the age of the fail cannot be told (see `rules.clock`).
    """
    ranked, left = rank(case.ftrs), case.ftd_qty
    own: list[Taken] = []
    aggregate: Taken | None = None
    stock: dict[StepAction, Taken] = {}
    left_by_chase = left_by_box = left
    for step in plan.resolution_steps:
        taken = Taken(step, left)
        left = step.remaining_short
        if step.action in _RECEIPTS:
            left_by_chase = left_by_box = left
            if step.dtc is None:
                aggregate = taken
            else:
                own.append(taken)
        elif step.qty:
            stock[step.action] = taken
            if step.action == "APPLY_BOX":
                left_by_box = left
    return Reading(
        case,
        plan,
        kb.waterfall,
        ranked,
        age_days(case, kb.scoring),
        deadline_days(case, kb.scoring),
        assess(case, kb.waterfall),
        list(zip(ranked, own, strict=False)),
        aggregate,
        stock,
        left_by_chase,
        left_by_box,
    )


def verdict(fact: bool) -> str:
    """How a trace ends a comparison."""
    return "Yes" if fact else "No"
