"""The numbers of a plan of the whole book."""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct

from finops_cli.kb.compiler import Compiler


class BookRules(Struct, frozen=True, eq=False, kw_only=True):
    """How `finops book` plans (kb: `book.*`)."""

    receives_late: bool
    """A receive that settles after the deadline of a fail is late for it."""
    collateral: Fraction
    """US dollars of collateral for each dollar that is borrowed."""
    enumerate_upto: int
    """Fails with a least partial in one security up to which every served set is tried."""
    effort: int
    """Most deterministic seconds of CP-SAT for one level."""


def compile_book(c: Compiler) -> BookRules:
    """Compile the entries of kb/book.toml."""
    return BookRules(
        receives_late=c.switch("book.receives_late"),
        collateral=Fraction(c.number("book.collateral_pct")) / 100,
        enumerate_upto=c.whole("book.enumerate_upto", highest=16),
        effort=c.whole("book.effort", highest=10_000),
    )
