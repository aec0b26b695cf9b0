"""Lines of an output as a Parquet file: the columns of the list, and the JSON text of each line.

The rows have the order of the lines. Numbers are exact decimals, null is null, and no text is
changed: unlike in a CSV file, nothing opens a cell as a formula.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO

import msgspec

from finops_cli.domain import limits
from finops_cli.files.arrow import load_parquet, load_pyarrow
from finops_cli.files.output_form import KeptOpen
from finops_cli.files.parquet_rows import LINE
from finops_cli.views.answers import Answer, read_answer
from finops_cli.views.ranked_list import BOOK_COLUMNS, COLUMNS
from finops_cli.views.wording import read_day

_DIGITS, _SCALE = 38, 18
"""Of a decimal128: room for every amount up to `limits.USD`, with 18 decimals."""
_NUMBERS = frozenset({"score", "market_value"})
_DAYS = frozenset({"settlement_date"})
_COUNTS = frozenset(
    {"qty", "age_days", "days_left", "warnings", "place", "of", "uncovered", "late"}
)
ANSWER_COLUMNS = tuple(name for name in COLUMNS if name not in BOOK_COLUMNS)
VERDICT_COLUMNS = ("number", "ok", "findings", "rules")
"""Of `finops check`: the checked line, counted from 1; the number of findings; their rules."""
_KINDS = {
    **dict.fromkeys(_NUMBERS, "decimal"),
    **dict.fromkeys(_DAYS, "day"),
    **dict.fromkeys((*_COUNTS, "number", "findings"), "count"),
    "ok": "truth",
}


class ColumnWriter:
    """Writes rows as row groups of a Parquet file; memory does not grow with the rows."""

    def __init__(self, columns: Sequence[str], out: BinaryIO) -> None:
        """Begin the file. Raises MissingPiece without pyarrow."""
        what = "a Parquet output needs pyarrow"
        self._arrow = load_pyarrow(what)
        self._names = (*columns, LINE)
        texts = [name for name in columns if name not in _KINDS]
        self._schema = self._arrow.schema(
            [(name, self._type(_KINDS.get(name, "text"))) for name in self._names]
        )
        self._writer = load_parquet(what).ParquetWriter(
            KeptOpen(out),
            self._schema,
            compression="zstd",
            use_dictionary=texts,
            write_statistics=list(columns),  # the least line says nothing, and is long
        )
        self._columns: list[list[Any]] = [[] for _ in self._names]
        self._bytes = 0
        self.left_empty: Counter[str] = Counter()
        """Cells that are null because a column cannot hold their value, by column."""

    def append(self, cells: Sequence[Any], line: bytes) -> None:
        """Add a row: the cells of its columns, and its line without the newline."""
        for name, column, cell in zip(self._names, self._columns, cells, strict=False):
            column.append(self._fit(name, cell))
        self._columns[-1].append(line)
        self._bytes += len(line)
        if self._bytes >= limits.ROW_GROUP_BYTES or len(self._columns[-1]) >= limits.ROW_GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        """Write the last rows and the footer, without which the file cannot be read."""
        if self._columns[-1]:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        arrays = [
            self._arrow.array(values, part.type)
            for values, part in zip(self._columns, self._schema, strict=True)
        ]
        batch = self._arrow.record_batch(arrays, schema=self._schema)
        self._writer.write_batch(batch, row_group_size=limits.ROW_GROUP_ROWS)
        self._columns = [[] for _ in self._names]
        self._bytes = 0

    def _fit(self, name: str, cell: Any) -> Any:
        """Return the value of a cell; null where its column cannot hold it exactly."""
        kind = _KINDS.get(name, "text")
        if cell is None:
            return None
        fitting: Any = cell
        if kind == "decimal":
            fitting = cell if _fits(cell) else None
        elif kind == "day":
            fitting = cell if isinstance(cell, date) else read_day(str(cell))
        if fitting is None:
            self.left_empty[name] += 1
        return fitting

    def _type(self, kind: str) -> Any:
        arrow = self._arrow
        return {
            "text": arrow.string(),
            "count": arrow.int64(),
            "decimal": arrow.decimal128(_DIGITS, _SCALE),
            "day": arrow.date32(),
            "truth": arrow.bool_(),
        }[kind]


def _fits(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and number.adjusted() < _DIGITS - _SCALE
        and (exponent >= -_SCALE or number == round(number, _SCALE))
    )


def write_answers(lines: Iterable[bytes], out: BinaryIO, *, has_book: bool = False) -> list[str]:
    """Write the lines of a run. Return a sentence for each column that lacks a value."""
    columns = (*ANSWER_COLUMNS, *BOOK_COLUMNS) if has_book else ANSWER_COLUMNS
    writer = ColumnWriter(columns, out)
    for number, line in enumerate(lines, start=1):
        answer = read_answer(line, number)
        cells = [getattr(answer, name) if isinstance(answer, Answer) else None for name in columns]
        writer.append(cells, line.removesuffix(b"\n"))
    writer.close()
    return [
        f"{name}: {count:,} values do not fit the column and are null there; `{LINE}` has them"
        for name, count in sorted(writer.left_empty.items())
    ]


class _Finding(msgspec.Struct):
    rule: str


class _Verdict(msgspec.Struct):
    line: int
    ok: bool
    findings: list[_Finding] = []


_VERDICT = msgspec.json.Decoder(_Verdict)


def write_verdicts(lines: Iterable[bytes], out: BinaryIO) -> None:
    """Write the verdicts of `finops check`."""
    writer = ColumnWriter(VERDICT_COLUMNS, out)
    for line in lines:
        found = _VERDICT.decode(line)
        rules = ", ".join(dict.fromkeys(each.rule for each in found.findings)) or None
        writer.append([found.line, found.ok, len(found.findings), rules], line.removesuffix(b"\n"))
    writer.close()
