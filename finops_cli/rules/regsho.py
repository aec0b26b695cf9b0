"""The Reg SHO clock as the cards count it (kb: `regsho.*`, `deadline.*`)."""

from __future__ import annotations

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.vocabulary import RegShoStatus
from finops_cli.kb.book import TriageBook


def has_delivery_obligation(record: FailRecord) -> bool:
    """kb: `regsho.obligation`."""
    return record.cns_direction == "FTD" or record.side == "Sell"


def regulatory_state(record: FailRecord, book: TriageBook) -> RegShoStatus:
    """kb: `regsho.state`."""
    if record.reg_sho_status is not None:
        return record.reg_sho_status
    if not has_delivery_obligation(record):
        return "NONE"
    if record.age_days >= book.close_out_from:
        return "CLOSE_OUT"
    if record.reg_sho_threshold:
        return "THRESHOLD"
    return "APPROACHING" if record.age_days >= book.approaching_from else "NONE"


def deadline_day(record: FailRecord, book: TriageBook) -> int | None:
    """N of the deadline T+N; None without a delivery obligation. kb: `triage.deadline`."""
    if not has_delivery_obligation(record):
        return None
    return book.deadline_threshold if record.reg_sho_threshold else book.deadline_standard
