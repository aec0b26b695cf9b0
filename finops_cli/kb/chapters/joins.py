"""The numbers of the files that are joined to a blotter."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.kb.compiler import Compiler


class JoinRules(Struct, frozen=True, eq=False, kw_only=True):
    """How facts of other files become facts of a record (kb: `join.*`)."""

    counterparty_days: int
    """Settlement days before the day of as-of."""
    rate_decimals: int
    receives_max: int
    inventory_max_age_days: int
    """Settlement days (kb: `book.max_age_days`)."""


def compile_joins(c: Compiler) -> JoinRules:
    """Compile the entries of kb/joins.toml and kb/book.toml."""
    return JoinRules(
        counterparty_days=c.whole("join.counterparty_days"),
        rate_decimals=c.whole("join.rate_decimals"),
        receives_max=c.whole("join.receives_max"),
        inventory_max_age_days=c.whole("book.max_age_days"),
    )
