"""How the text of a file with columns is written: its encoding, and the mark between two cells."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from typing import NamedTuple

from finops_cli.domain import limits

DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
"""The marks between cells that are recognised, and how a message shows them."""
UTF_8, UTF_16, WESTERN = "utf-8-sig", "utf-16", "cp1252"
_SAMPLE_ROWS = 100


class TextLayout(NamedTuple):
    """The layout of a text file with columns."""

    encoding: str
    delimiter: str
    columns: int
    """The number of cells of most rows."""

    def describe(self) -> str:
        """Describe the layout in a message: `CSV, ';' between cells`."""
        kind = "text with tabs" if self.delimiter == "\t" else "CSV"
        between = "" if self.delimiter == "\t" else f", {DELIMITERS[self.delimiter]} between cells"
        named = {UTF_16: ", UTF-16", WESTERN: ", Windows-1252"}
        return f"{kind}{between}{named.get(self.encoding, '')}"


def decode_head(head: bytes) -> tuple[str, str]:
    """Decode the beginning of a file and return its text and encoding.

    Bytes that are not UTF-8 are taken for Windows-1252, in which each byte is a character.
    """
    if is_utf_16(head):
        even = head[: len(head) // 2 * 2]
        marked = even.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        encoding = UTF_16 if marked else "utf-16-le" if even[1::2].count(0) else "utf-16-be"
        return even.decode(encoding, "replace"), encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # a character that the end of the head cuts is left out
        return decoder.decode(head).removeprefix("\ufeff"), UTF_8
    except UnicodeDecodeError:
        return head.decode(WESTERN, "replace"), WESTERN


def is_utf_16(head: bytes) -> bool:
    """Return true for a byte-order mark of UTF-16, or text in which each second byte is NUL."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return not head.startswith(codecs.BOM_UTF32_LE)
    start = head[:64]
    halves = start[::2], start[1::2]
    return len(start) >= 8 and any(
        half.count(0) * 10 >= len(half) * 9 and not other.count(0)
        for half, other in (halves, halves[::-1])
    )


def declared_delimiter(line: str) -> str | None:
    """Return the delimiter that a line `sep=;` declares, which Excel reads; else None."""
    text = line.strip().strip('"')
    return text[4:] if text[:4].lower() == "sep=" and len(text) == 5 else None


def find_layout(text: str, encoding: str, is_whole: bool) -> TextLayout | None:
    """Find the layout of a text with columns; None where it has none.

    `is_whole`: the text does not end in the middle of the file.
    """
    lines = text.splitlines(keepends=True)
    if not is_whole and len(lines) > 1:
        lines = lines[:-1]
    lines = [line.replace("\0", "") for line in lines if line.strip()]
    if not lines:
        return None
    declared = declared_delimiter(lines[0])
    if declared is not None:
        _, columns, _ = _count_rows(lines[1:], declared)
        return TextLayout(encoding, declared, columns) if declared in DELIMITERS else None
    found = {delimiter: _count_rows(lines, delimiter) for delimiter in DELIMITERS}
    delimiter = max(found, key=lambda each: found[each][:2])
    count, columns, rows = found[delimiter]
    # prose has a comma in some lines; a single line is a header only with three names or more
    if columns < 2 or count * 2 < rows or (rows == 1 and columns < 3):
        return None
    return TextLayout(encoding, delimiter, columns)


def _count_rows(lines: list[str], delimiter: str) -> tuple[int, int, int]:
    """Return how many of the first rows have the most usual width, this width, and all of them.

    The width of rows of one cell does not count. A quote that is not closed makes one row of the
    lines after it: the rows before it decide. A decimal comma gives rows of a file with semicolons
    two widths: the header has no decimals.
    """
    widths: Counter[int] = Counter()
    rows = 0
    reader = csv.reader(lines[: limits.PROBLEMS * _SAMPLE_ROWS], delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows += 1
                widths[len(cells)] += len(cells) > 1
            if rows >= _SAMPLE_ROWS:
                break
    except csv.Error:  # a cell longer than the limit; the rows before it decide
        pass
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]), default=(0, 0))
    return count, width, rows
