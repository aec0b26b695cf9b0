"""The meaning of statuses and reason codes of market messages (kb: `messages.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from finops_cli.kb.compiler import Compiler

StatusMeaning = Literal["fail", "late", "open", "ended"]
_EFFECTS = ("dispute", "receipt", "hold", "partial")


class MessageRules(Struct, frozen=True, eq=False, kw_only=True):
    """The statuses and codes that `finops import swift` reads."""

    statuses: Mapping[str, str]
    """The meaning of each status, by kind and code: SETT/PENF."""
    dispute: frozenset[str]
    receipt: frozenset[str]
    hold: frozenset[str]
    partial: frozenset[str]
    cusip_countries: frozenset[str]
    cns_participants: frozenset[str]
    no_reference: frozenset[str]
    first_year: int
    last_year: int
    reasons: Mapping[str, str]
    """The words of each reason code."""


def compile_messages(c: Compiler) -> MessageRules:
    """Compile `messages.*`. Raises KnowledgeError for an unknown meaning."""
    statuses = c.table("messages.statuses")
    c.texts("messages.statuses", tuple(statuses), StatusMeaning)
    effects = c.texts("messages.effects", _EFFECTS)
    codes = {name: frozenset(each.strip() for each in effects[name].split(",")) for name in effects}
    years = c.wholes("messages.no_date", ("first_year", "last_year"), _LAST_YEAR)
    return MessageRules(
        statuses=statuses,
        dispute=codes["dispute"],
        receipt=codes["receipt"],
        hold=codes["hold"],
        partial=codes["partial"],
        cusip_countries=c.words("messages.cusip_countries"),
        cns_participants=c.words("messages.cns_participants"),
        no_reference=c.words("messages.no_reference"),
        first_year=years["first_year"],
        last_year=years["last_year"],
        reasons=c.table("messages.reasons"),
    )


_LAST_YEAR = 9998
