"""A plan in plain English. Wording is free; every number in it is one of the plan's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from finops_cli.domain.money import render_quantity
from finops_cli.domain.resolution import ResolverInput, Step
from finops_cli.rules.gridlock import Gridlock
from finops_cli.rules.sourcing import Fallbacks, corporate_action_option

_SOURCES = {"INITIATE_RECALL": "recall", "SOURCE_BORROW": "borrow"}
_FULL_SENTENCES = 3
"""Receipts told one by one; the rest are summed, so that a narrative stays readable at any number
of FTRs.
"""
_NAMES = 10
"""Gridlock parties told by name; `gridlock_parties` holds all."""


def narrative(
    case: ResolverInput,
    steps: Sequence[Step],
    gridlock: Gridlock,
    sources: Fallbacks,
    residual: int,
) -> str:
    """Describe the steps of a plan in their order, the receives first."""
    receipts, parts = [], []
    for step in steps:
        if step.action in _RECEIPTS:
            receipts.append(step)
        else:
            parts.append(_TOLD[step.action](step))
    if receipts:
        parts = _receipts(receipts) + parts
    if sources.first != "NONE":
        parts.append(_sourcing(sources))
    if gridlock.extent == "full":
        parts.append(
            f"gridlock among {_named(gridlock.parties)}: propose a net settlement to all of them"
        )
    elif gridlock.extent == "partial":
        parts.append(f"partial gridlock, {gridlock.parties[0]} is the bottleneck: escalate there")
    parts.append(
        f"escalate the residual {render_quantity(residual)} shares"
        if residual
        else "no shares stay uncovered"
    )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}.{_corporate_action(case)}"


def _receipts(receipts: Sequence[Step]) -> list[str]:
    told = [
        f"{_RECEIPTS[step.action]} {step.dtc or 'the further counterparties'} for"
        f" {render_quantity(step.qty)} shares"
        for step in receipts[:_FULL_SENTENCES]
    ]
    if len(receipts) > _FULL_SENTENCES:
        rest = receipts[_FULL_SENTENCES:]
        what = "1 more receipt" if len(rest) == 1 else f"{len(rest)} more receipts"
        told.append(f"{what} for {render_quantity(sum(step.qty for step in rest))} shares")
    return told


def _named(parties: Sequence[str]) -> str:
    told = ", ".join(parties[:_NAMES])
    return f"{told} and {len(parties) - _NAMES:,} more" if len(parties) > _NAMES else told


def _sourcing(sources: Fallbacks) -> str:
    first = f"{_SOURCES[sources.first]} {render_quantity(sources.first_qty)}"
    if sources.second == "NONE":
        return f"{first} shares"
    joined = "and at once" if sources.parallel else "then"
    second = f"{_SOURCES[sources.second]} {render_quantity(sources.second_qty)}"
    return f"{first} {joined} {second} shares"


def _corporate_action(case: ResolverInput) -> str:
    option = corporate_action_option(case)
    if option is None:
        return ""
    new_cusip = case.corporate_action.new_cusip if case.corporate_action is not None else None
    told = {
        "A": "Option A: deliver the pre-event shares",
        "B": f"Option B: deliver the post-event equivalent in {new_cusip}",
        "C": "Option C: settle in cash, free of payment",
    }
    return f" {told[option]}; the counterparty must agree."


_RECEIPTS = {"CHASE_FTR": "chase", "OFFSET_FTR": "net", "NET_GRIDLOCK": "propose netting to"}
_TOLD: dict[str, Callable[[Step], str]] = {
    "APPLY_BOX": lambda step: f"apply {render_quantity(step.qty)} shares from the box",
    "PARTIAL_DELIVER": lambda step: "deliver the partial today",
    "DEPOT_MOVEMENT": lambda step: f"move {render_quantity(step.qty)} shares from the depot",
    "BUY_IN_NOTICE": lambda step: f"serve buy-in notice on {step.dtc or 'the aged counterparties'}",
    "SPO_SETTLEMENT": lambda step: f"settle {render_quantity(step.qty)} shares in cash",
}
