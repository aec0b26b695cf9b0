"""Rows in columns, for a terminal of a given width."""

from __future__ import annotations

import pytest

from finops_cli.views.columns import Columns, Row

WIDTH, INDENT = 40, 4
FIRST = "first cell"


@pytest.mark.parametrize(("length", "lines"), [(28, 1), (29, 2)])
def test_columns_move_a_cell_that_does_not_fit(length: int, lines: int) -> None:
    """A line may be as wide as the terminal; a cell that is longer by one begins the next line."""
    cell = "x" * (length // 2) + " " + "y" * (length - length // 2 - 1)
    row = Row((FIRST, cell))
    found = list(Columns([row], WIDTH, INDENT).render(row))
    assert found == [[f"{FIRST}  {cell}"], [FIRST, f"    {cell}"]][lines - 1]


def test_columns_line_up_cells_and_leave_out_empty_columns() -> None:
    """Cells start below each other, numbers end below each other, empty columns take no space."""
    rows = [Row(("a", "", "1", "x")), Row(("bcd", "", "1,000", "y"), ("note", "more"))]
    columns = Columns(rows, WIDTH, INDENT, right={2})
    found = [line for row in rows for line in columns.render(row)]
    assert found == ["a        1  x", "bcd  1,000  y  note  more"]


def test_columns_break_a_word_that_is_longer_than_the_line() -> None:
    """A long identifier is broken and never cut off, and the other rows keep their columns."""
    rows = [Row(("z" * 60, "b")), Row(("a", "b"))]
    columns = Columns(rows, WIDTH, INDENT)
    assert list(columns.render(rows[0])) == ["z" * 40, "    " + "z" * 20, "    b"]
    assert list(columns.render(rows[1])) == ["a  b"]
