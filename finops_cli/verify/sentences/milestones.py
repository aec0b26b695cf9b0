"""Collect what a plan bears out after each of its steps, and the part that each source covers."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations, permutations

from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.verify.sentences.claims import Value
from finops_cli.verify.sentences.truths import Truths

_MILESTONES = {
    "CHASE_FTR": ("chase",),
    "OFFSET_FTR": ("net", "chase"),
    "NET_GRIDLOCK": ("net", "chase"),
    "APPLY_BOX": ("box",),
    "DEPOT_MOVEMENT": ("depot",),
    "INITIATE_RECALL": ("recall",),
    "SOURCE_BORROW": ("borrow",),
    "PARTIAL_DELIVER": ("partial",),
}
"""The names by which a sentence calls the end of a step."""
_SOURCE_NAMES = ("chase", "net", "box", "depot", "recall", "borrow")


def add_milestones(truths: Truths, plan: Resolution, case: ResolverInput | None) -> None:
    """Add what is covered and what is left after each kind of step, and after all of them.

    Without the case, the coverage after a fallback and the covered shares are not known.
    """
    owed = None if case is None else case.ftd_qty
    left = 0 if owed is None else owed
    for name in (*_SOURCE_NAMES, "partial", "all", "end"):
        _add_milestone(truths, name)
    for number, step in enumerate(plan.resolution_steps, start=1):
        left = step.remaining_short
        names = _MILESTONES.get(step.action, ())
        own = [f"{name}:{step.dtc}" for name in names if step.dtc is not None]
        for name in (f"step {number}", *names, *own):
            _add_milestone(truths, name, left, owed)
            truths.add(f"number:coverage@{name}", step.coverage_after_step_pct)
    _add_milestone(truths, "all", left, owed)
    for strategy, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        if strategy in _MILESTONES:
            left = max(0, left - qty)
            _add_milestone(truths, _MILESTONES[strategy][0], left, owed)
    _add_milestone(truths, "all", left, owed)
    for name in ("all", "end"):
        _add_milestone(truths, name, plan.residual_short, owed)
    if case is None:
        truths.forget(*(role for role in truths.true if role.startswith("quantity:covered@")))
        truths.forget(*(f"number:coverage@{name}" for name in ("recall", "borrow", "all", "end")))


def add_parts(truths: Truths, plan: Resolution, owed: int) -> None:
    """Add the part of the fail that each source covers, and which of two sources gives more."""
    given: dict[str, int] = dict.fromkeys(_SOURCE_NAMES, 0)
    for step in plan.resolution_steps:
        for name in _MILESTONES.get(step.action, ()):
            given[name] = given.get(name, 0) + step.qty
    for strategy, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        if strategy in _MILESTONES:
            given[_MILESTONES[strategy][0]] += qty
    for name, qty in given.items():
        truths.add(f"number:part@{name}", Decimal(100 * qty) / owed)
        truths.undecided[f"number:part@{name}"] |= truths.true[f"number:coverage@{name}"]
    for larger, smaller in permutations(_SOURCE_NAMES, 2):
        truths.add(
            f"larger:{larger}:{smaller}", *(["yes"] if given[larger] > given[smaller] else [])
        )
    truths.given = given
    parts = [qty for name, qty in given.items() if qty and name != "net"]
    some = (each for n in range(2, len(parts) + 1) for each in combinations(parts, n))
    truths.add("quantity:sum", *map(sum, some))
    used = [name for name, qty in given.items() if qty and name != "net"]
    truths.add("sole", *(used if len(used) == 1 else []))


def _add_milestone(
    truths: Truths, name: str, left: int | None = None, owed: int | None = None
) -> None:
    """Note the shares that are `left` of `owed` after a step; without them, nothing is true.

    Of several steps of a kind the last one counts. What is true after an earlier one is undecided.
    """
    known = left is not None and owed is not None
    after: dict[str, Value | int | None] = {
        "quantity:left": left,
        "quantity:covered": owed - left if known else None,  # type: ignore[operator]
        "number:coverage": Decimal(100 * (owed - left)) / owed if known and owed else None,  # type: ignore[operator]
        "number:uncovered": Decimal(100 * left) / owed if known and owed else None,  # type: ignore[operator]
    }
    for role, value in after.items():
        key = f"{role}@{name}"
        truths.undecided[key] |= truths.true.get(key, set())
        truths.true[key] = set()
        truths.add(key, *([] if value is None else [value]))
