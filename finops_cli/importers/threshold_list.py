"""A Reg SHO threshold list of Nasdaq's shape: which symbols are on it (source: nasdaqtrader.com,
Reg SHO Threshold List).

`Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Rule 3210|Filler`. Only the first
four names are held to. The last line may be a bare timestamp or `File Creation Time: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.verify.schemas import unusable

COLUMNS = ("Symbol", "Security Name", "Market Category", "Reg SHO Threshold Flag")
_CLOSING = re.compile(r"[0-9]{8,14}\|*|File Creation Time:.*")
_FLAGS = {"Y": True, "N": False}


class Listed(NamedTuple):
    """A symbol, and whether it is a threshold security."""

    symbol: str
    threshold: bool


def listed(path: Path) -> Iterator[Listed | Damage]:
    """Yield the entry of each symbol. Raises UsageError if `path` is not a threshold list."""
    try:
        with path.open("rb") as file:
            texts = (line.decode("cp1252", "replace").rstrip("\r") for line, _ in lines_of(file))
            width = _width(path, next(texts, ""))
            yield from _entries(str(path), enumerate(texts, start=2), width)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})", "give a threshold list"
        ) from error


def _width(path: Path, header: str) -> int:
    names = tuple(name.strip() for name in header.split("|"))
    if names[:4] != COLUMNS:
        raise UsageError(
            f"{path} is not a threshold list in Nasdaq's format: its first line must begin with"
            f" {'|'.join(COLUMNS)}",
            "give a list as Nasdaq publishes it",
        )
    return len(names)


def _entries(file: str, lines: Iterator[tuple[int, str]], width: int) -> Iterator[Listed | Damage]:
    first_lines: dict[str, int] = {}
    closed = False
    for number, text in lines:
        if not text.strip():
            continue
        if closed:
            yield Damage(
                file,
                number,
                (unusable("import.trailer", "row", text, "no row after the closing line"),),
            )
        elif _CLOSING.fullmatch(text.strip()):
            closed = True
        else:
            entry = _entry(file, number, text, width)
            first = (
                first_lines.setdefault(entry.symbol, number)
                if isinstance(entry, Listed)
                else number
            )
            if isinstance(entry, Listed) and first != number:
                accepted = f"each symbol once; line {first} has it"
                entry = Damage(
                    file, number, (unusable("input.duplicate", "Symbol", entry.symbol, accepted),)
                )
            yield entry


def _entry(file: str, number: int, text: str, width: int) -> Listed | Damage:
    """The fields behind the name are counted from the right: a name may hold bars."""
    fields = [field.strip() for field in text.split("|")]
    if len(fields) < width:
        return Damage(
            file,
            number,
            (unusable("schema.format", "row", text, f"{width} fields, as the header has"),),
        )
    symbol, flag = fields[0], fields[3 - width]
    problems = []
    if not symbol:
        problems.append(unusable("schema.format", "Symbol", symbol, "the symbol of a security"))
    if flag not in _FLAGS:
        problems.append(unusable("schema.enum", COLUMNS[3], flag, "Y or N"))
    return Damage(file, number, tuple(problems)) if problems else Listed(symbol, _FLAGS[flag])
