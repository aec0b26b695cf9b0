"""The shapes of Reg SHO threshold lists, and how a row of each is read.

    Symbol|Security Name|Market Category|Reg SHO Threshold Flag|...   Nasdaq, NYSE, OCC, FINRA
    Symbol|CompanyName                                                Cboe: each symbol is listed
    tradeDate,issueSymbolIdentifier,...                               FINRA's query: a date per row

A row may have more or fewer bars at its end than the header, and a name may hold bars.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from finops_cli.domain.finding import Problem
from finops_cli.importers.dates import DATE_ACCEPTED, parse_date
from finops_cli.importers.symbols import compare_form
from finops_cli.verify.schemas import unusable

COLUMNS = ("Symbol", "Security Name", "Market Category", "Reg SHO Threshold Flag")
CBOE_COLUMNS = ("Symbol", "CompanyName")
QUERY_COLUMNS = ("tradeDate", "issueSymbolIdentifier", "regShoThresholdFlag", "rule4320Flag")
OCC = "OCC"
NYSE = "NYSE"
CBOE = "Cboe"
FINRA = "FINRA"
_HOUSES = {"rule 3210": "Nasdaq", "rule 4320": FINRA, "flag2": OCC}
"""The house of a list by a column behind the flag."""
_FLAGS = {"Y": True, "N": False}
_FLAG_PLACE = COLUMNS.index("Reg SHO Threshold Flag")
_MOST_EXTRA_COLUMNS = 4
"""More columns behind the flag are rows that lost their line ends."""
_FILLERS = ("", "filler")
_RULE_4320 = "Rule 4320"
_HEADER = re.compile(
    r"Symbol *\| *(Security Name *\| *Market Category|CompanyName)|"
    r'"?tradeDate"?,"?issueSymbolIdentifier',
    re.IGNORECASE,
)


class Listed(NamedTuple):
    """A symbol as a list has it, and whether it is a threshold security."""

    symbol: str
    threshold: bool
    category: str = ""
    """The market category, where the list has one."""
    date: str | None = None
    """The day of the list in ISO form, where the rows have dates."""


Entry = Listed | list[Problem]


class Shape(NamedTuple):
    """The publisher of a list, and the reader of its rows."""

    house: str
    read_row: Callable[[str], Entry]
    has_dates: bool = False
    """Each row has the date of its list."""


def choose_shape(header: str) -> Shape | None:
    """Return the shape that a header has; None for another text."""
    names = [name.strip().lower() for name in header.split("|")]
    extra = names[len(COLUMNS) :]
    if names[: len(COLUMNS)] == _lower(COLUMNS) and len(extra) <= _MOST_EXTRA_COLUMNS:
        house = next((_HOUSES[name] for name in extra if name in _HOUSES), NYSE)
        while extra and extra[-1] in _FILLERS:
            extra.pop()
        return Shape(house, partial(_read_flagged, extra, header.count("|")))
    if names[: len(CBOE_COLUMNS)] == _lower(CBOE_COLUMNS):
        return Shape(CBOE, _read_cboe)
    cells = [cell.lower() for cell in _split_csv(header)]
    if set(_lower(QUERY_COLUMNS)) <= set(cells):
        return Shape(FINRA, partial(_read_query, cells), has_dates=True)
    return None


def find_header(text: str) -> int:
    """Return where a header begins in a line; -1 if the line has none."""
    found = _HEADER.search(text)
    return -1 if found is None else found.start()


def _lower(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def _read_flagged(extra: Sequence[str], bars: int, text: str) -> Entry:
    """Read a row with a flag. A security of FINRA's Rule 4320 is on the list too."""
    fields = [field.strip() for field in text.split("|")]
    while fields and not fields[-1]:
        fields.pop()
    if len(fields) <= _FLAG_PLACE:
        accepted = f"at least {len(COLUMNS)} fields, {'|'.join(COLUMNS)}"
        return [unusable("schema.format", "row", text, accepted)]
    places = find_flag(fields, len(extra), text.count("|") - bars)
    read = {place: _read_at(fields, place, extra) for place in places}
    if len({isinstance(entry, Listed) and entry.threshold for entry in read.values()}) > 1:
        accepted = f"one place for the flag: {bars} bars, as the header has; the name may hold bars"
        return [unusable("schema.format", "row", text, accepted)]
    return read[places[0]]


def _read_at(fields: Sequence[str], place: int, extra: Sequence[str]) -> Entry:
    flags = [(COLUMNS[_FLAG_PLACE], fields[place])]
    if _RULE_4320.lower() in extra:
        column = place + 1 + extra.index(_RULE_4320.lower())
        if column < len(fields):
            flags.append((_RULE_4320, fields[column] or "N"))
    return _judge(fields[0], flags, fields[place - 1], None)


def find_flag(fields: Sequence[str], extra_columns: int, more_bars: int) -> list[int]:
    """Return the places where the flag of a row can stand: several where a bar is in the name.

    `fields` end with one that is not empty. `extra_columns` are those that may follow the flag. A
    name has at most the bars and fields that a row has more than the header.
    """
    width = len(COLUMNS) + extra_columns
    in_name = max(0, more_bars, len(fields) - width)
    if not in_name:
        return [_FLAG_PLACE]
    fitting, other = [], []
    for place in range(_FLAG_PLACE, min(len(fields), _FLAG_PLACE + in_name + 1)):
        after = fields[place + 1 :]
        category = fields[place - 1].upper()
        if fields[place].upper() not in _FLAGS or category == "Y":
            continue  # Y is a flag, and never a market category
        if not category and place > _FLAG_PLACE:
            continue
        if len(after) <= extra_columns:
            fitting.append(place)
        elif all(field.upper() in ("", *_FLAGS) for field in after):
            other.append(place)
    return fitting or other or [_FLAG_PLACE + max(0, len(fields) - width)]


def _read_cboe(text: str) -> Entry:
    symbol, bar, _ = text.partition("|")
    if not bar:
        accepted = f"two fields, {'|'.join(CBOE_COLUMNS)}"
        return [unusable("schema.format", "row", text, accepted)]
    if any(field.strip().upper() in _FLAGS for field in text.split("|")[len(CBOE_COLUMNS) :]):
        accepted = f"{'|'.join(CBOE_COLUMNS)}, without flags, as the header of this list says"
        return [unusable("schema.format", "row", text, accepted)]
    return _judge(symbol.strip(), [], "", None)


def _read_query(names: list[str], text: str) -> Entry:
    cells = _split_csv(text)
    while len(cells) > len(names) and not cells[-1]:
        cells.pop()
    if len(cells) != len(names):
        accepted = f"{len(names)} cells, as the header has"
        return [unusable("schema.format", "row", text, accepted)]
    row = dict(zip(names, cells, strict=True))
    day, symbol, *flags = QUERY_COLUMNS
    try:
        date = parse_date(row[day.lower()])
    except ValueError:
        return [unusable("schema.format", day, row[day.lower()], DATE_ACCEPTED)]
    return _judge(
        row[symbol.lower()], [(flag, row[flag.lower()]) for flag in flags], category="", date=date
    )


def _judge(symbol: str, flags: list[tuple[str, str]], category: str, date: str | None) -> Entry:
    """Return the entry of a row: a threshold security has one of its flags, or needs none."""
    problems = []
    if not compare_form(symbol):
        problems.append(unusable("schema.format", "Symbol", symbol, "the symbol of a security"))
    problems += [
        unusable("schema.enum", name, flag, "Y or N")
        for name, flag in flags
        if flag.upper() not in _FLAGS
    ]
    if problems:
        return problems
    threshold = not flags or any(_FLAGS[flag.upper()] for _, flag in flags)
    return Listed(symbol, threshold, category, date)


def _split_csv(text: str) -> list[str]:
    """Split a line of CSV; a line that is not CSV gives no cells."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:
        return []
