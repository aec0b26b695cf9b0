"""The options of `finops book` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Write the proof that no plan is better, a line for each security. finops check"
        " --certificate verifies it without a solver.",
    ),
]
Sent = Annotated[
    Path | None,
    typer.Option(
        "--sent",
        metavar="FILE",
        help="What an earlier plan sent out: its output lines, or lines of fail_id, kind, id, qty"
        " and firm. Nothing changes without need, and firm parts stay.",
    ),
]
Delta = Annotated[
    Path | None,
    typer.Option(
        "--delta",
        metavar="FILE",
        help="Changes of the inventory file since: a line with the same cusip, kind and id replaces"
        " it, and qty 0 removes it.",
    ),
]
BorrowBudget = Annotated[
    str | None,
    typer.Option(
        "--borrow-budget",
        metavar="USD",
        help="Most collateral for borrows, such as 2500000. Each security with a lender then needs"
        " a PRICE line (kb: book.budget).",
    ),
]
Prefer = Annotated[
    str | None,
    typer.Option(
        "--prefer",
        metavar="file",
        help="Take the inventory file (file) where a record's own inventory differs from it, and"
        " keep a finding (default: the record is rejected).",
    ),
]
