"""Rows in columns, for a terminal of a given width."""

from __future__ import annotations

from textwrap import wrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.views.columns import Columns, Row, fill_lines

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


@given(st.text(st.sampled_from("ab-.\t\u00e9\u00a0\u2003 "), max_size=200), st.integers(40, 60))
def test_fill_lines_breaks_text_as_textwrap_does(text: str, width: int) -> None:
    """The quick way of breaking a line gives the lines of textwrap, for any text and width."""
    expected = wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
    assert list(fill_lines(text, width, "    ")) == expected


def test_columns_colour_the_text_of_a_cell_and_no_blank() -> None:
    """A colour moves no column: it begins and ends with the text of its cell."""
    row = Row(("b", "a", "c"), paints={1: lambda text: f"<{text}>"})
    columns = Columns([row, Row(("b", "aaa", "c"))], WIDTH, INDENT, right={1})
    assert list(columns.render(row)) == ["b    <a>  c"]
