"""Find the format of a column of dates, where its values prove it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from finops_cli.importers.dates import read_day

_SERIAL = re.compile(r"[0-9]{5}(\.[0-9]+)?")
_FIRST_SERIAL, _LAST_SERIAL = 36_526, 55_153
"""The day numbers of Excel for 2000-01-01 and 2050-12-31."""
_MOST_SHOWN = 3
_MOST = 5
"""Of six cells, so many have to be dates of one format."""


class DateColumn(NamedTuple):
    """The formats that the values of a column of dates allow."""

    formats: tuple[str, ...]
    """The formats that read every value, or the one that reads nearly all; empty for ISO."""
    is_iso: bool
    proof: str
    """A value that only the first format reads, where another format reads some."""
    fault: str
    """Why no format reads the column; or empty."""
    unread: tuple[str, ...] = ()
    """The values that the format does not read."""

    @property
    def is_date(self) -> bool:
        """Return true when the values are dates, whether or not day and month are known."""
        return self.is_iso or bool(self.formats)


def find_formats(texts: Sequence[str], known: Sequence[str]) -> DateColumn:
    """Find which formats read all of `texts`, which are not empty."""
    if not texts:
        return DateColumn((), is_iso=False, proof="", fault="all cells are empty")
    if all(_reads(text, None) for text in texts):
        return DateColumn((), is_iso=True, proof="", fault="")
    counts = {each: sum(_reads(text, each) for text in texts) for each in known}
    formats = tuple(each for each, count in counts.items() if count == len(texts))
    if not formats:
        return _read_most(texts, counts) or DateColumn(
            (), is_iso=False, proof="", fault=_find_fault(texts, known)
        )
    partial = [each for each, count in counts.items() if 0 < count < len(texts)]
    proof = next((text for text in texts for each in partial if not _reads(text, each)), "")
    return DateColumn(formats, is_iso=False, proof=proof, fault="")


def _read_most(texts: Sequence[str], counts: dict[str, int]) -> DateColumn | None:
    """Read a column but for a few of its cells, where no other format reads half of them."""
    every: dict[str | None, int] = dict(counts.items())
    every[None] = sum(_reads(text, None) for text in texts)
    best = max(every, key=lambda each: every[each])
    others = (count for each, count in every.items() if each != best)
    if every[best] * (_MOST + 1) < len(texts) * _MOST or any(n * 2 > len(texts) for n in others):
        return None
    unread = tuple(text for text in texts if not _reads(text, best) and not _reads(text, None))
    formats = () if best is None else (best,)
    return DateColumn(formats, is_iso=best is None, proof="", fault="", unread=unread)


def read_date(text: str, date_format: str | None) -> str | None:
    """Return the ISO form of a date, without its time; None where the format does not read it."""
    try:
        return read_day(text, () if date_format is None else (date_format,))
    except (ValueError, OverflowError):
        return None


def _reads(text: str, date_format: str | None) -> bool:
    read = read_date(text, date_format)
    return read is not None and "1990" <= read < "2100"


def _find_fault(texts: Sequence[str], known: Sequence[str]) -> str:
    """Say what the values are that no format reads."""
    serials = [text for text in texts if _is_serial(text)]
    if len(serials) == len(texts):
        return (
            f"the cells are numbers such as {texts[0]}, days as Excel counts them: format the"
            " column as a date and save the file again"
        )
    others = [text for text in dict.fromkeys(texts) if not any(_reads(text, f) for f in known)]
    if others:
        return f"no date format reads {', '.join(map(repr, others[:_MOST_SHOWN]))}"
    shown = ", ".join(map(repr, list(dict.fromkeys(texts))[:_MOST_SHOWN]))
    return f"each cell is a date, but no single format reads all of them: {shown}"


def _is_serial(text: str) -> bool:
    return bool(_SERIAL.fullmatch(text)) and _FIRST_SERIAL <= int(text[:5]) <= _LAST_SERIAL
