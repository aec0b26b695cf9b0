"""One Reg SHO threshold list: which symbols are on it (source: the lists that the markets publish).

    Symbol|Security Name|Market Category|Reg SHO Threshold Flag|...   Nasdaq, NYSE, OCC, FINRA
    Symbol|CompanyName                                                Cboe: each symbol is listed
    tradeDate,issueSymbolIdentifier,...                               FINRA's query: a date per row

A row may have more or fewer bars at its end than the header, and a name may hold bars. The last
lines may be a bare timestamp, a count or `File Creation Time: ...`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.importers.dates import DATE_ACCEPTED, parse_date
from finops_cli.verify.schemas import unusable

COLUMNS = ("Symbol", "Security Name", "Market Category", "Reg SHO Threshold Flag")
CBOE_COLUMNS = ("Symbol", "CompanyName")
QUERY_COLUMNS = (
    "tradeDate",
    "issueSymbolIdentifier",
    "regShoThresholdFlag",
    "rule4320Flag",
)
_CLOSING = re.compile(
    r"[0-9]{7,14}\|*|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\|*|File Creation (Time|Date):.*"
)
_FLAGS = {"Y": True, "N": False}
_FLAG_PLACE = COLUMNS.index("Reg SHO Threshold Flag")
_FILLERS = ("", "Filler")
_RULE_4320 = "Rule 4320"


class Listed(NamedTuple):
    """A symbol, and whether it is a threshold security.

    `date` is known where the rows have dates.
    """

    symbol: str
    threshold: bool
    date: str | None = None


Entry = Listed | Damage
_ReadRow = Callable[[str, int, str], Entry]


def listed(path: Path) -> Iterator[Entry]:
    """Yield the entry of each symbol. Raises UsageError if `path` is not a threshold list."""
    try:
        with path.open("rb") as file:
            texts = (line.decode("cp1252", "replace").rstrip("\r") for line, _ in lines_of(file))
            read_row = _choose_shape(path, next(texts, ""))
            yield from _entries(str(path), enumerate(texts, start=2), read_row)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})", "give a threshold list"
        ) from error


def _choose_shape(path: Path, header: str) -> _ReadRow:
    """Return the reader of a row that the header asks for."""
    names = [name.strip() for name in header.split("|")]
    if tuple(names[:4]) == COLUMNS:
        while names[-1] in _FILLERS:
            names.pop()
        return partial(_read_flagged, len(names), _RULE_4320 in names)
    if tuple(names[:2]) == CBOE_COLUMNS:
        return _read_cboe
    cells = _split_csv(header)
    if all(name in cells for name in QUERY_COLUMNS):
        return partial(_read_query, cells)
    raise UsageError(
        f"{path} is not a threshold list: its first line must begin with {'|'.join(COLUMNS)}, or"
        f" with {'|'.join(CBOE_COLUMNS)}, or have the columns {', '.join(QUERY_COLUMNS)}",
        "give a list as Nasdaq, NYSE, Cboe, OCC or FINRA publishes it",
    )


def _entries(file: str, lines: Iterator[tuple[int, str]], read_row: _ReadRow) -> Iterator[Entry]:
    first_lines: dict[tuple[str, str | None], int] = {}
    closed = False
    for number, text in lines:
        if not text.strip():
            continue
        if _CLOSING.fullmatch(text.strip()):
            closed = True
        elif closed:
            yield Damage(
                file,
                number,
                (unusable("import.trailer", "row", text, "no row after the closing line"),),
            )
        else:
            entry = read_row(file, number, text)
            if isinstance(entry, Listed):
                first = first_lines.setdefault((entry.symbol, entry.date), number)
                if first != number:
                    entry = _repeated(file, number, entry.symbol, first)
            yield entry


def _repeated(file: str, number: int, symbol: str, first: int) -> Damage:
    accepted = f"each symbol once; line {first} has it"
    return Damage(file, number, (unusable("input.duplicate", "Symbol", symbol, accepted),))


def _read_flagged(width: int, has_rule_4320: bool, file: str, number: int, text: str) -> Entry:
    """Read a row with a flag. What exceeds `width` is part of the name.

    A security of FINRA's Rule 4320 is on the list too.
    """
    fields = [field.strip() for field in text.split("|")]
    while fields and not fields[-1]:
        fields.pop()
    if len(fields) <= _FLAG_PLACE:
        accepted = f"at least {len(COLUMNS)} fields, {'|'.join(COLUMNS)}"
        return Damage(file, number, (unusable("schema.format", "row", text, accepted),))
    place = _FLAG_PLACE + max(0, len(fields) - width)
    flags = [(COLUMNS[_FLAG_PLACE], fields[place])]
    if has_rule_4320 and len(fields) > place + 1:
        flags.append((_RULE_4320, fields[place + 1]))
    return _judge(file, number, fields[0], flags, None)


def _read_cboe(file: str, number: int, text: str) -> Entry:
    symbol, bar, _ = text.partition("|")
    if not bar:
        accepted = f"two fields, {'|'.join(CBOE_COLUMNS)}"
        return Damage(file, number, (unusable("schema.format", "row", text, accepted),))
    return _judge(file, number, symbol.strip(), [], None)


def _read_query(names: list[str], file: str, number: int, text: str) -> Entry:
    cells = _split_csv(text)
    if len(cells) != len(names):
        accepted = f"{len(names)} cells, as the header has"
        return Damage(file, number, (unusable("schema.format", "row", text, accepted),))
    row = dict(zip(names, cells, strict=True))
    day, symbol, *flags = QUERY_COLUMNS
    try:
        date = parse_date(row[day])
    except ValueError:
        return Damage(file, number, (unusable("schema.format", day, row[day], DATE_ACCEPTED),))
    return _judge(file, number, row[symbol], [(flag, row[flag]) for flag in flags], date)


def _judge(
    file: str, number: int, symbol: str, flags: list[tuple[str, str]], date: str | None
) -> Entry:
    """Return the entry of a row: a threshold security has one of its flags, or needs none."""
    problems = []
    if not symbol:
        problems.append(unusable("schema.format", "Symbol", symbol, "the symbol of a security"))
    problems += [
        unusable("schema.enum", name, flag, "Y or N")
        for name, flag in flags
        if flag.upper() not in _FLAGS
    ]
    if problems:
        return Damage(file, number, tuple(problems))
    return Listed(symbol, not flags or any(_FLAGS[flag.upper()] for _, flag in flags), date)


def _split_csv(text: str) -> list[str]:
    """Split a line of CSV; a line that is not CSV gives no cells."""
    try:
        return [cell.strip() for cell in next(csv.reader([text]), [])]
    except csv.Error:
        return []
