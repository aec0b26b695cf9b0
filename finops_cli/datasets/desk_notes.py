"""Free text as desks write it: notes on a fail, replies to chases, reasons for disputes.

No rule reads this text, and a model must not use it either.
"""

from __future__ import annotations

import random

_OPENINGS = ("Chased", "Called", "Left message with", "Emailed", "Spoke to", "No answer from")
_WHO = (
    "cpty ops",
    "their settlements desk",
    "the custodian",
    "stock loan",
    "their fails team",
    "the prime broker",
)
_WHEN = (
    "this morning",
    "yesterday",
    "at 10:40",
    "twice today",
    "on the 3pm call",
    "before cut-off",
)
_REPLIES = (
    "waiting on our source",
    "will deliver tomorrow",
    "says shares are in the box",
    "no delivery date given",
    "partial expected today",
    "asks us to re-send the trade details",
    "blames a recall that did not come back",
    "confirms the trade, short on inventory",
)
_DISPUTES = (
    "price mismatch",
    "unknown trade",
    "quantity mismatch",
    "wrong account",
    "trade date differs",
    "counterparty has no record",
    "net money differs",
    "settlement date differs",
)


def desk_note(draw: random.Random) -> str:
    """Write one or two short sentences."""
    note = (
        f"{draw.choice(_OPENINGS)} {draw.choice(_WHO)} {draw.choice(_WHEN)}:"
        f" {draw.choice(_REPLIES)}."
    )
    return f"{note} Ref {draw.randrange(10_000, 99_999)}." if draw.random() < 0.4 else note


def dispute(draw: random.Random) -> str:
    """Give a reason why a counterparty does not know the trade."""
    reason = draw.choice(_DISPUTES)
    return f"{reason}: {draw.choice(_REPLIES)}" if draw.random() < 0.3 else reason
