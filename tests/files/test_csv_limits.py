"""CSV files whose rows never end: each line is read a bounded number of times, and none is lost."""

from __future__ import annotations

import io

import pytest

from finops_cli.domain import limits
from finops_cli.files.csv_rows import CsvRow, csv_rows
from tests.support.call_counts import count_calls

SHAPES = {
    "quotes that open": 'x","y\n',
    "a cell that opens": '"x\n',
    "pairs of quotes": '"x\ny"z\n',
}


def read(text: str) -> list[CsvRow]:
    return list(csv_rows(io.StringIO(text, newline=""), None))


@pytest.mark.slow
@pytest.mark.parametrize("line", SHAPES.values(), ids=SHAPES)
def test_rows_without_an_end_cost_what_their_file_has(line: str) -> None:
    """Twice the file takes at most a little more than twice the calls: without a limit, each line
    of a row that never ends is the beginning of another one.
    """
    size = 2 * limits.CSV_REREAD_CHARS // len(line)
    once, twice = (count_calls(lambda n=n: read("a,b\n" + line * n)) for n in (size, 2 * size))  # type: ignore[misc]
    assert twice < 2.2 * once


@pytest.mark.parametrize("line", SHAPES.values(), ids=SHAPES)
def test_every_line_of_rows_without_an_end_is_reported(line: str) -> None:
    """No line is lost: each is a faulty row, and the rows behind them are read."""
    size = 30_000 // len(line)
    rows = read("a,b\n" + line * size + "1,2\n3,4\n")
    good = [row.cells for row in rows if not row.fault]
    numbers = [row.line for row in rows]
    assert good[0] == ["a", "b"]
    assert good[-1] == ["3", "4"]
    assert numbers == sorted(set(numbers))
    assert sum(bool(row.fault) for row in rows) >= size


def test_cell_with_line_breaks_is_read_behind_a_faulty_row() -> None:
    """A cell of several lines stays one cell behind rows that cost one reading more."""
    rows = read('a,b\n"x"y,1\n"one\ntwo",2\n' * 300)
    assert ["one\ntwo", "2"] in [row.cells for row in rows]
    assert rows[-1].cells == ["one\ntwo", "2"]
