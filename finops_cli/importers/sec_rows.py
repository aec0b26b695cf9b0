"""One SEC fails-to-deliver file, row by row (source: the fails-to-deliver data that the SEC
publishes).

`SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE`, cp1252, a bar may stand inside
DESCRIPTION. Full files end with a count of their rows and a sum of their shares. A byte that cp1252
lacks becomes U+FFFD: it costs a row only where it hits a figure.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.finding import Damage, Problem
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.importers.stream import FileRead
from finops_cli.verify.schemas import unusable

HEADER = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
BARS = HEADER.count("|")
PRICE_ACCEPTED = (
    "US dollars of at least 0, up to 9 digits before the point and 6 behind it, or . where there is"
    " no price"
)
_SHARES_ACCEPTED = "a whole number of shares above 0, of up to 12 digits"
_PRICE = re.compile(
    r"[0-9]{1,9}(\.[0-9]{0,6})?|\.[0-9]{1,6}"
)  # times 10**12 shares: 27 digits, which Decimal multiplies exactly
_QUANTITY = re.compile(r"[0-9]{1,12}")
_TRAILER = re.compile(r"Trailer (record count|total quantity of shares) +([0-9]{1,18})")
_TRAILERS = "Trailer record count N, or Trailer total quantity of shares Q"


class Row(Struct, frozen=True):
    """A row as the file has it.

    What could not be read is None, and `problems` says why; `price` is also None for `.`.
    """

    line: int
    problems: tuple[Problem, ...]
    date: str | None = None
    cusip: str | None = None
    symbol: str = ""
    qty: int | None = None
    description: str = ""
    price: Decimal | None = None


SecItem = Row | Damage | FileRead


class _Sums:
    """The totals that the trailer lines of a file state."""

    def __init__(self) -> None:
        self.rows = 0
        self.shares = 0
        self.without_quantity = 0
        self.closed = False

    def count(self, row: Row) -> None:
        self.rows += 1
        if row.qty is None:
            self.without_quantity += 1
        else:
            self.shares += row.qty


def rows_of(path: Path) -> Generator[SecItem, None, None]:
    """Yield every row, a Damage for each line that is not a row, and FileRead at the end.

    Raises UsageError when `path` cannot be read.
    """
    sums, stray = _Sums(), 0
    for number, text in _lines(path):
        if number == 1 and text != HEADER:
            yield Damage(str(path), 1, (unusable("schema.format", "header", text, HEADER),))
            if text.count("|") < BARS:
                break  # a file of another kind: each of its lines would be reported
        if number == 1 and not text[:1].isdigit():
            continue
        if text.lower().startswith("trailer"):
            yield from _check_trailer(path, number, text, sums)
            sums.closed = True
        elif not text.strip():
            yield Damage(
                str(path),
                number,
                (unusable("schema.format", "row", text, "no blank line between rows"),),
            )
        elif sums.closed:
            stray += 1
            yield Damage(
                str(path),
                number,
                (unusable("import.trailer", "row", text, "no row after the trailer lines"),),
            )
        else:
            row = read_row(number, text)
            sums.count(row)
            yield row
    yield FileRead(str(path), sums.rows + stray)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines; an empty file has one empty line, and blank lines at the end of a
    file are left out.
    """
    number = blanks = 0
    try:
        with path.open("rb") as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                text = line.decode("cp1252", "replace").rstrip(
                    "\r\n\x1a"
                )  # \x1a: the end-of-file mark of DOS
                if not text.strip():
                    blanks += 1
                    continue
                yield from ((number - back, "") for back in range(blanks, 0, -1))
                blanks = 0
                yield number, text
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})", "give an unzipped file of the SEC"
        ) from error
    if number == blanks:
        yield 1, ""


def _check_trailer(path: Path, number: int, text: str, sums: _Sums) -> Iterator[Damage]:
    found = _TRAILER.fullmatch(text.strip())
    if found is None:
        yield Damage(str(path), number, (unusable("import.trailer", "trailer", text, _TRAILERS),))
        return
    what, stated = found.group(1), int(found.group(2))
    counted = sums.rows if what == "record count" else sums.shares
    if counted == stated:
        return
    accepted = (
        f"{counted}, as the rows of this file give; the file was cut or changed, so fetch it again"
    )
    if what != "record count" and sums.without_quantity:
        accepted += f" ({sums.without_quantity} of them without a readable quantity)"
    yield Damage(
        str(path),
        number,
        (unusable("import.trailer", f"Trailer {what}", found.group(2), accepted),),
    )


def read_row(number: int, text: str) -> Row:
    """The row in a line.

    DESCRIPTION may hold bars: four fields are taken from the left, the price from the right.
    """
    if text.count("|") < BARS:
        return Row(number, (unusable("schema.format", "row", text, f"six fields, {HEADER}"),))
    day, cusip, symbol, quantity, rest = text.split("|", 4)
    description, _, price_text = rest.rpartition("|")
    day, cusip, quantity, price_text = (
        day.strip(),
        cusip.strip(),
        quantity.strip(),
        price_text.strip(),
    )
    qty = (
        int(quantity) if _QUANTITY.fullmatch(quantity) and int(quantity) <= limits.SHARES else None
    )
    price = None if price_text == "." else read_price(price_text)
    problems = []
    if not is_day(day):
        problems.append(unusable("schema.format", "SETTLEMENT DATE", day, "a date, YYYYMMDD"))
    if not cusips.is_valid(cusip):
        problems.append(_bad_cusip(cusip))
    if not qty:
        problems.append(unusable("schema.range", "QUANTITY (FAILS)", quantity, _SHARES_ACCEPTED))
    if price is None and price_text != ".":
        problems.append(unusable("schema.format", "PRICE", price_text, PRICE_ACCEPTED))
    return Row(
        number,
        tuple(problems),
        day if is_day(day) else None,
        cusip if cusips.is_valid(cusip) else None,
        symbol.strip(),
        qty,
        description.strip(),
        price,
    )


@lru_cache(maxsize=1024)
def is_day(text: str) -> bool:
    """Return True if `text` is a day of the calendar, YYYYMMDD."""
    if re.fullmatch("[0-9]{8}", text) is None:
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def read_price(text: str) -> Decimal | None:
    """Return an exact price; None if `text` is not a price."""
    return Decimal(text) if _PRICE.fullmatch(text) else None


def _bad_cusip(value: str) -> Problem:
    if re.fullmatch(cusips.PATTERN, value):
        right = (
            f"a CUSIP whose check digit is right; {value[:8]} takes {cusips.check_digit(value[:8])}"
        )
        return unusable("cusip.check_digit", "CUSIP", value, right)
    return unusable(
        "schema.format",
        "CUSIP",
        value,
        "nine capital letters and digits, the last one the check digit",
    )
