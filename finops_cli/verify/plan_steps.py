"""What each kind of step can be, whatever it answers (kb: `waterfall.*`, `gridlock.*`)."""

from __future__ import annotations

from collections.abc import Iterator

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, Step
from finops_cli.verify.judged import differs

_RECEIPTS = frozenset(("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK"))
_STOCK = frozenset(("APPLY_BOX", "DEPOT_MOVEMENT", "SPO_SETTLEMENT", "PARTIAL_DELIVER"))
_NOTICES = frozenset(("BUY_IN_NOTICE", "PARTIAL_DELIVER"))
_IN_FIELDS = frozenset(("INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE"))


def steps_make_sense(plan: Resolution) -> Iterator[Finding]:
    """Findings of steps against their own action, and of the gridlock fields against the steps."""
    nets = False
    for i, step in enumerate(plan.resolution_steps):
        nets = nets or step.action == "NET_GRIDLOCK"
        yield from _step_makes_sense(step, f"/resolution_steps/{i}")
    if nets and not plan.gridlock_detected:
        yield differs(
            "gridlock.detected", "/gridlock_detected", True, False, "its steps net a gridlock"
        )
    parties = plan.gridlock_parties
    if parties:
        netted = {
            step.dtc
            for step in plan.resolution_steps
            if step.action == "NET_GRIDLOCK" and step.dtc is not None
        }
        expected = tuple(sorted(netted.union(parties)))
        if parties != expected:
            yield differs(
                "gridlock.parties",
                "/gridlock_parties",
                expected,
                parties,
                "every party netted with, once, sorted",
            )


def _step_makes_sense(step: Step, path: str) -> Iterator[Finding]:
    action = step.action
    if action in _IN_FIELDS:
        accepted = tuple(sorted(_RECEIPTS | _STOCK | _NOTICES))
        yield differs(
            "waterfall.action",
            f"{path}/action",
            accepted,
            action,
            "this one stands in the plan's own fields",
        )
        return
    if (step.qty == 0) != (action in _NOTICES):
        expected = 0 if action in _NOTICES else "more than 0"
        because = "a notice covers nothing" if action in _NOTICES else "a step covers something"
        yield differs("waterfall.quantity", f"{path}/qty", expected, step.qty, because)
    if action in _STOCK and step.dtc is not None:
        yield differs(
            "waterfall.counterparty", f"{path}/dtc", None, step.dtc, "stock has no counterparty"
        )
    elif action == "OFFSET_FTR" and step.dtc is None:
        yield differs(
            "waterfall.counterparty",
            f"{path}/dtc",
            "DTC-NNNN",
            None,
            "it is netted with a counterparty",
        )
    settles = action in _RECEIPTS and step.dtc is not None
    for field, value in (
        ("settlement_type", step.settlement_type),
        ("settlement_date", step.settlement_date),
    ):
        if (value is not None) != settles:
            yield differs(
                "waterfall.settlement",
                f"{path}/{field}",
                "that of its receipt" if settles else None,
                value,
            )
