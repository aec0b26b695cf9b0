"""One SEC fails-to-deliver file, row by row (source: the fails-to-deliver data that the SEC
publishes).

`SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE`, cp1252, a bar may stand inside
DESCRIPTION. Full files end with a count of their rows and a sum of their shares. A byte that cp1252
lacks becomes U+FFFD: it costs a row only where it hits a number.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.finding import Damage, Problem
from finops_cli.importers.market_text import number_lines
from finops_cli.importers.sec.parts import SecPart, open_part
from finops_cli.importers.stream import FileRead, Note
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
_NO_PRICE = ("", ".")
_QUANTITY = re.compile(r"[0-9]{1,12}")
_TRAILER = re.compile(
    r"Trailer (record count|total quantity of shares) +([0-9]{1,18})", re.IGNORECASE
)
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
    has_more_bars: bool = False
    """Bars at the end of the line, more than the header has, were left out."""


SecItem = Row | Damage | FileRead | Note


class _Sums:
    """The totals that the trailer lines of a file state."""

    def __init__(self) -> None:
        self.rows = 0
        self.shares = 0
        self.without_quantity = 0
        self.closed = False
        self.too_many_bars = 0

    def count(self, row: Row) -> None:
        self.rows += 1
        if row.qty is None:
            self.without_quantity += 1
        else:
            self.shares += row.qty


def rows_of(part: SecPart) -> Generator[SecItem, None, None]:
    """Yield every row, a Damage for each line that is not a row, and FileRead at the end.

    Notes say what was tolerated. Raises UsageError when the file cannot be read.
    """
    with open_part(part) as (text, source):
        yield from _items(part, number_lines(source, part.shown, part.first_line))
        if part.end is None:
            yield from text.notes()


def _items(part: SecPart, lines: Iterator[tuple[int, str]]) -> Iterator[SecItem]:
    sums, stray, is_first = _Sums(), 0, True
    for number, text in _without_last_blanks(lines, part):
        if is_first:
            is_first = False
            is_header = _names(text) == _names(HEADER)
            if not is_header:
                yield _damage(part, number, "schema.format", "header", text, HEADER)
                if text.count("|") < BARS:
                    break  # a file of another kind: each of its lines would be reported
            if is_header or not text[:1].isdigit():
                continue
        if text.lower().startswith("trailer"):
            yield from _check_trailer(part.shown, number, text, sums)
            sums.closed = True
        elif not text.strip():
            accepted = "no blank line between rows"
            yield _damage(part, number, "schema.format", "row", text, accepted)
        elif sums.closed:
            stray += 1
            accepted = "no row after the trailer lines"
            yield _damage(part, number, "import.trailer", "row", text, accepted)
        else:
            row = read_row(number, text)
            sums.count(row)
            sums.too_many_bars += row.has_more_bars
            yield row
    if sums.too_many_bars:
        yield Note(part.shown, f"bars at the end of {sums.too_many_bars:,} rows were left out")
    if not is_first or part.end is None:
        yield FileRead(part.shown, sums.rows + stray)


def _names(header: str) -> list[str]:
    """The names of a header; bars and spaces at its end do not count."""
    return [name.strip() for name in header.rstrip("| ").upper().split("|")]


def _damage(part: SecPart, line: int, rule: str, field: str, value: str, accepted: str) -> Damage:
    return Damage(part.shown, line, (unusable(rule, field, value, accepted),))


def _without_last_blanks(
    lines: Iterator[tuple[int, str]], part: SecPart
) -> Iterator[tuple[int, str]]:
    """Leave out blank lines at both ends of a file; an empty file has one empty line."""
    blanks = 0
    is_empty = True
    for number, text in lines:
        if not text.strip():
            blanks += 1
            continue
        if not is_empty:
            yield from ((number - back, "") for back in range(blanks, 0, -1))
        blanks, is_empty = 0, False
        yield number, text
    if is_empty and part.end is None:  # blank lines may stand before the first header
        yield part.first_line, ""


def _check_trailer(shown: str, number: int, text: str, sums: _Sums) -> Iterator[Damage]:
    found = _TRAILER.fullmatch(text.strip(" |"))
    if found is None:
        yield Damage(shown, number, (unusable("import.trailer", "trailer", text, _TRAILERS),))
        return
    what, stated = found.group(1).lower(), int(found.group(2))
    counted = sums.rows if what == "record count" else sums.shares
    if counted == stated:
        return
    accepted = (
        f"{counted}, as the rows of this file give; the file was cut or changed, so fetch it again"
    )
    if what != "record count" and sums.without_quantity:
        accepted += f" ({sums.without_quantity} of them without a readable quantity)"
    yield Damage(
        shown,
        number,
        (unusable("import.trailer", f"Trailer {what}", found.group(2), accepted),),
    )


def read_row(number: int, text: str) -> Row:
    """The row in a line.

    DESCRIPTION may hold bars: four fields are taken from the left, the price from the right. Bars
    beyond those of the header are left out at the end of the line. A blank price means the same
    as `.`.
    """
    given = text
    text = text.rstrip()
    while text.count("|") > BARS and text.endswith("|"):
        text = text[:-1].rstrip()
    has_more_bars = len(text) < len(given.rstrip())
    if text.count("|") < BARS:
        return Row(number, (unusable("schema.format", "row", text, f"six fields, {HEADER}"),))
    day, cusip, symbol, quantity, rest = text.split("|", 4)
    description, _, price_text = rest.rpartition("|")
    if has_more_bars and not _is_price(price_text.strip()):
        description, price_text = rest, ""  # a bar of the description, and a blank price behind it
    day, cusip, quantity, price_text = (
        day.strip(),
        cusip.strip(),
        quantity.strip(),
        price_text.strip(),
    )
    qty = (
        int(quantity) if _QUANTITY.fullmatch(quantity) and int(quantity) <= limits.SHARES else None
    )
    price = read_price(price_text)
    problems = []
    if not is_day(day):
        problems.append(unusable("schema.format", "SETTLEMENT DATE", day, "a date, YYYYMMDD"))
    if not cusips.is_valid(cusip):
        problems.append(_bad_cusip(cusip))
    if not qty:
        problems.append(unusable("schema.range", "QUANTITY (FAILS)", quantity, _SHARES_ACCEPTED))
    if not _is_price(price_text):
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
        has_more_bars,
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


def _is_price(text: str) -> bool:
    return text in _NO_PRICE or read_price(text) is not None


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
