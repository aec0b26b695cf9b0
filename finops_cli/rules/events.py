"""Which way out of a corporate action a fail has (kb: `waterfall.corporate_action`)."""

from __future__ import annotations

from typing import Literal

from finops_cli.domain.resolution import ResolverInput

CorporateActionOption = Literal["A", "B", "C"]


def corporate_action_option(case: ResolverInput) -> CorporateActionOption | None:
    """A, the shares still deliver; B, there is a new CUSIP; C, neither: cash.

    None for a fail without an event.
    """
    if case.triage.category != "CA_EVENT":
        return None
    event = case.corporate_action
    if event is not None and event.pre_event_deliverable:
        return "A"
    return "B" if event is not None and event.new_cusip is not None else "C"
