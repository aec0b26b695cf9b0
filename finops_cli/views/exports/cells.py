"""The values of a list as typed cells: text, whole numbers, exact decimals, days."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from finops_cli.views.answers import Answer
from finops_cli.views.wording import clean, read_day

Cell = str | int | Decimal | date | None

_DAYS = frozenset({"due", "settlement_date"})
"""The columns that hold days; `due` is T+N where no day is known."""

TITLES = {
    "tier": "Tier",
    "score": "Score",
    "fail_id": "Fail",
    "security": "Security",
    "side": "Side",
    "qty": "Shares",
    "counterparty": "Counterparty",
    "market_value": "Value USD",
    "age_days": "Age, days",
    "due": "Due",
    "due_by": "By rule",
    "days_left": "Days left",
    "status": "Status",
    "category": "Category",
    "escalation": "Escalate to",
    "action": "Action",
    "cusip": "CUSIP",
    "symbol": "Symbol",
    "counterparty_name": "Counterparty name",
    "settlement_date": "Settlement",
    "warnings": "Warnings",
    "assumed": "Assumed",
    "tone": "Tone of notes",
    "what_to_do": "What to do",
    "error": "Error",
    "place": "Place in queue",
    "of": "Fails in queue",
    "uncovered": "Uncovered",
    "late": "Late",
    "cut": "Why uncovered",
    "decision": "Decision",
    "decided_by": "Decided by",
    "decided_at": "Decided at",
    "decision_reason": "Reason",
    "owner": "Owner",
    "comment": "Comment",
}
"""The columns of a list, as the head of a sheet or a page names them."""
DECISION_COLUMNS = ("decision", "decided_by", "decided_at", "decision_reason", "owner", "comment")
"""The columns with what people decided, in exports of a service."""


def read_cell(answer: Answer, name: str) -> Cell:
    """Return the value of a column; text has no control characters and no line ends."""
    value = getattr(answer, name)
    if not isinstance(value, str):
        found: Cell = value
        return found
    if name in _DAYS:
        return read_day(value) or clean(value)
    return clean(value)
