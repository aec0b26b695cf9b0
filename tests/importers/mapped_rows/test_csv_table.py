"""The rows of a CSV file: its first line, its header, and rows of another width."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.importers.tables.csv_table import CsvTable
from finops_cli.importers.tables.table import Source, TableRow


def read(
    folder: Path, text: str, delimiter: str | None = None, header: int | None = None
) -> list[TableRow]:
    path = folder / "blotter.csv"
    path.write_bytes(text.encode())
    table = CsvTable.of(path, delimiter=delimiter, header=header)
    rows = list(table.rows())
    assert rows == list(table.rows()), "a file can be read again"
    assert table.source == Source("csv", "blotter.csv")
    return rows


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "rows"),
    [
        ("A,B\n1,2\n", None, None, [(1, ["A", "B"]), (2, ["1", "2"])]),
        ("sep=;\r\nA;B\r\n1;2\r\n", None, None, [(2, ["A", "B"]), (3, ["1", "2"])]),
        ('"SEP=;"\nA;B\n', ";", None, [(2, ["A", "B"])]),
        ("\ufeffsep=\t\nA\tB\n", None, None, [(2, ["A", "B"])]),
        ("Report\n\nA,B\n1,2\n", None, 3, [(3, ["A", "B"]), (4, ["1", "2"])]),
        ('"not closed\nA,B\n1,2\n', None, 2, [(2, ["A", "B"]), (3, ["1", "2"])]),
        ("sep=;\nReport;x;y\nA;B\n", None, 3, [(3, ["A", "B"])]),
        ("\n , \nA,B\n", None, None, [(3, ["A", "B"])]),
        ("A,B\n1,2,,\n", None, None, [(1, ["A", "B"]), (2, ["1", "2"])]),
        ("A,B,,\n1,2\n", None, None, [(1, ["A", "B", "", ""]), (2, ["1", "2", "", ""])]),
        ("A,B,\n1,2,x\n", None, None, [(1, ["A", "B", ""]), (2, ["1", "2", "x"])]),
        ("A,B\n", None, 5, []),
    ],
)
def test_csv_table_gives_rows_as_wide_as_the_header(
    tmp_path: Path,
    text: str,
    delimiter: str | None,
    header: int | None,
    rows: list[tuple[int, list[str]]],
) -> None:
    """Rule: `sep=`, a preamble, blank rows and empty cells beyond the header are left out."""
    assert read(tmp_path, text, delimiter, header) == [(*row, None) for row in rows]


@pytest.mark.parametrize("row", ["1", "1,2,3", '"1"'])
def test_csv_row_of_another_width_keeps_its_cells(tmp_path: Path, row: str) -> None:
    """Rule: a row of another width has a fault, and its cells, so that a total can be skipped."""
    [_, found, after] = read(tmp_path, f"A,B\n{row}\n3,4\n")
    cells = row.replace('"', "").split(",")
    assert found == (2, cells, f"has {len(cells)} cells, and the header 2")
    assert after == (3, ["3", "4"], None)


def test_csv_row_over_several_lines_is_read_again(tmp_path: Path) -> None:
    """Rule: a quote that closes in a later row damages its own row alone, and has no cells."""
    rows = read(tmp_path, 'A,B\n"1,2\n3,4\n5",6,7\n8,9\n')
    assert [(row.line, row.cells, row.fault is None) for row in rows[1:]] == [
        (2, [], False),
        (3, ["3", "4"], True),
        (4, ['5"', "6", "7"], False),
        (5, ["8", "9"], True),
    ]


def test_csv_separator_against_the_mapping_is_refused(tmp_path: Path) -> None:
    """Rule: a file that names its delimiter is not read with another one."""
    with pytest.raises(UsageError, match=r"blotter.csv:1: the line sep=; names another") as refused:
        read(tmp_path, "sep=;\nA;B\n", ",")
    assert 'csv: {delimiter: ";"}' in refused.value.cure
