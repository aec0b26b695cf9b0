"""Divide the shares that are recalled over the loans of a security."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.letters.rows import LetterRow


class LotRow(NamedTuple):
    """A row of a recall notice, and the loan that it is about; None: no loan is named."""

    row: LetterRow
    lot: InventoryLine | None


def divide_recalls(
    rows: Iterable[LetterRow], lines: Sequence[InventoryLine], kb: KnowledgeBase
) -> Iterator[LotRow]:
    """Give each row of one security its shares of the loans, in the order of the rows.

    The loans are taken by fewest days of notice, then the larger loan, then the id
    (specification of the book, section 3). Rows that a book has divided keep their loan.
    """

    def rank(line: InventoryLine) -> tuple[int, int, str]:
        notice = kb.waterfall.recall_notice_days if line.notice_days is None else line.notice_days
        return notice, -(line.qty or 0), line.id or ""

    lots = sorted((line for line in lines if line.kind == "RECALL" and line.qty), key=rank)
    left = {line.id or "": line.qty or 0 for line in lots}
    by_id = {line.id or "": line for line in lots}
    for row in rows:
        if row.lot is not None:
            yield LotRow(_name_loan(row, by_id.get(row.lot)), by_id.get(row.lot))
            continue
        wanted = int(row.cells["qty"] or 0)
        for line in lots:
            taken = min(wanted, left[line.id or ""])
            if taken:
                wanted -= taken
                left[line.id or ""] -= taken
                yield LotRow(_take(row, taken, line), line)
        if wanted:
            yield LotRow(_take(row, wanted, None), None)


def _name_loan(row: LetterRow, line: InventoryLine | None) -> LetterRow:
    """Put what is lent, and the borrower, beside a row that a book has divided."""
    if line is None:
        return row
    cells = row.cells | {"lent": line.qty}
    return replace(row, cells=cells, recipient=row.recipient or line.dtc or "")


def _take(row: LetterRow, qty: int, line: InventoryLine | None) -> LetterRow:
    """Return the part of a row that one loan gives."""
    cells = row.cells | {"qty": qty, "lent": None if line is None else line.qty}
    return replace(row, cells=cells, recipient="" if line is None else line.dtc or "")
