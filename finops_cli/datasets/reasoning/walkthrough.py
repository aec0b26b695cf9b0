"""Match the steps of a plan with its case, for the reasoning text.

Only the shares that were open before each step are computed here.
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
    """A step that covers shares."""

    step: Step
    before: int
    """Shares that were open before the step."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A case and its plan, with everything that the reasoning text mentions."""

    case: ResolverInput
    plan: Resolution
    rules: WaterfallRules
    ranked: list[Ftr]
    age: int
    days_left: int | None
    gridlock: Gridlock
    receipts: list[tuple[Ftr, Taken]]
    """The fails to receive that have a step of their own, in rank order."""
    aggregate: Taken | None
    """The step that covers the other fails to receive together."""
    stock: dict[StepAction, Taken]
    """Steps that take shares from the desk's own stock."""
    left_by_chase: int
    """Shares still open after the chase steps."""
    left_by_box: int
    """Shares still open after the chase steps and the box."""

    @property
    def owed(self) -> int:
        return self.case.ftd_qty

    @property
    def covered(self) -> int:
        """Return the shares covered by all steps before the fallbacks."""
        return sum(step.qty for step in self.plan.resolution_steps)

    def steps(self, action: StepAction) -> Iterator[Step]:
        return (step for step in self.plan.resolution_steps if step.action == action)


def read(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> Reading:
    """Match `plan` with its `case`.

    Raises ValueError if the age of the fail is unknown (see `rules.clock`).
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
        case=case,
        plan=plan,
        rules=kb.waterfall,
        ranked=ranked,
        age=age_days(case, kb.scoring),
        days_left=deadline_days(case, kb.scoring),
        gridlock=assess(case, kb.waterfall),
        receipts=list(zip(ranked, own, strict=False)),
        aggregate=aggregate,
        stock=stock,
        left_by_chase=left_by_chase,
        left_by_box=left_by_box,
    )


def verdict(fact: bool) -> str:
    """Return the word that ends a comparison."""
    return "Yes" if fact else "No"
