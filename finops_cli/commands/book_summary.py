"""The summary of a plan of the book, for a person: plain text, 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finops_cli.book.budget import Budget
    from finops_cli.book.summary import BookSummary

_HEAD = ("tier", "fails", "owed", "covered", "uncovered", "late", "borrowed")
_WIDTH = 79
_INDENT = "  "


def render_book(summary: BookSummary, budget: Budget | None = None) -> str:
    """Write the numbers by tier, then the worst securities, each with its sentences."""
    return "\n".join(_lines(summary, budget))


def _lines(summary: BookSummary, budget: Budget | None) -> Iterator[str]:
    from finops_cli.book.allocation.pool import TIERS

    if summary.pools:
        rows = [_row(summary, tier) for tier in TIERS if summary.fails[tier]]
        yield from _align([_HEAD, *rows])
        alone = summary.uncovered.total() - summary.alone
        yield from _say(
            f"{summary.pools:,} securities, {summary.contended:,} of them with several fails."
            f" Sharing their sources leaves {alone:,} more shares uncovered than each fail has"
            " alone."
        )
    else:
        yield from _say(
            "Nothing is allotted: no accepted fail owes shares of a security with an inventory."
            " Give --inventory FILE, or records with an inventory of their own."
        )
    if summary.copied:
        yield from _say(f"{summary.copied:,} lines are copied from the earlier plan.")
    if budget is not None:
        yield from _say(f"Borrow budget: USD {int(budget.left):,} of {int(budget.usd):,} are left.")
    if summary.unasked:
        yield from _say(f"The inventory has {summary.unasked:,} securities that no fail asks for.")
    for name, qty in summary.firm_unknown:
        yield from _say(
            f"{name} has {qty:,} firm shares and is not in this book (kb: book.firm_unknown)."
        )
    if summary.worst:
        yield "worst securities"
    for pool in summary.worst:
        yield from _say(f"{pool.cusip}: {pool.says} {pool.first}", _INDENT)


def _row(summary: BookSummary, tier: str) -> tuple[str, ...]:
    owed, uncovered = summary.owed[tier], summary.uncovered[tier]
    numbers = (
        summary.fails[tier],
        owed,
        owed - uncovered,
        uncovered,
        summary.late[tier],
        summary.borrowed[tier],
    )
    return (tier, *(f"{number:,}" for number in numbers))


def _align(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _say(text: str, indent: str = "") -> list[str]:
    return wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}{_INDENT}",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
