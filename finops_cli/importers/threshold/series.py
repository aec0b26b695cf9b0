"""A series of aggregate fails by settlement day: CSV with a header, or JSON Lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_cli.clock.moments import parse_day
from finops_cli.clock.threshold_watch import SeriesDay
from finops_cli.domain import exact_json, limits
from finops_cli.errors import UsageError

_FIX = "give lines with date (YYYY-MM-DD), qty, and last_sale where the issuer does not report"
_WHOLE = re.compile(r"[0-9]{1,12}")
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?")
"""No exponent: a price is written out, and an exact product of it stays small."""


def read_series(file: Path) -> Iterator[SeriesDay]:
    """Yield the days of a series. Raises UsageError naming line, field and value."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.read(1)
            lines.seek(0)
            rows = _json_rows(file, lines) if first == "{" else enumerate(csv.DictReader(lines), 2)
            for number, row in rows:
                yield _day(file, number, row)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error})", _FIX) from error


def _json_rows(file: Path, lines: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        try:
            row = exact_json.decode(line.encode())
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise UsageError(f"{file} line {number} is not JSON: {error}", _FIX) from error
        if not isinstance(row, dict):
            raise UsageError(f"{file} line {number} is not an object", _FIX)
        yield number, row


def _day(file: Path, number: int, row: dict[str, Any]) -> SeriesDay:
    fields = {key: str(value).strip() for key, value in row.items() if value not in (None, "")}
    unknown = sorted(str(key) for key in set(fields) - {"date", "qty", "last_sale"})
    if unknown:
        raise UsageError(f"{file} line {number}: {unknown[0]} is unknown", _FIX)
    try:
        day = parse_day(fields.get("date", ""))
    except ValueError as error:
        shown = fields.get("date", "missing")
        raise UsageError(f"{file} line {number}: date is {shown}", _FIX) from error
    if not _WHOLE.fullmatch(fields.get("qty", "")):
        shown = fields.get("qty", "missing")
        raise UsageError(f"{file} line {number}: qty is {shown}. Expected whole shares.", _FIX)
    return SeriesDay(day, int(fields["qty"]), _price(file, number, fields.get("last_sale")))


def _price(file: Path, number: int, text: str | None) -> Decimal | None:
    if text is None:
        return None
    if not _PRICE.fullmatch(text):
        shown = f"{text[: limits.SHOWN_CHARS]}. Expected dollars a share, such as 4.35."
        raise UsageError(f"{file} line {number}: last_sale is {shown}", _FIX)
    return Decimal(text)
