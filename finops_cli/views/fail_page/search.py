"""Finds the lines of an output that a name means, in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.views.wording import clean

MOST = 20
"""Lines of one name, or of one security, that are kept."""
_COMPARED = 50_000
"""Names of a file that are compared with one that it does not have."""


class _Security(Struct, frozen=True):
    cusip: str | None = None
    symbol: str | None = None


class _Names(Struct, frozen=True):
    fail_id: str
    status: str
    fail: _Security | None = None


class FoundLine(Struct, frozen=True):
    """A line of the output. `number` counts from 1."""

    number: int
    fail_id: str
    line: bytes


class Search:
    """The lines with a `fail_id`, else those of a security, else names that look alike."""

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        """Read the lines of an output. `name` is a `fail_id`, a CUSIP or a symbol."""
        self.name = name
        self.named: list[FoundLine] = []
        """Lines with this `fail_id`: more than one where the input repeats it."""
        self.of_security: list[FoundLine] = []
        """Lines of the security with this CUSIP or symbol."""
        self.count_named = self.count_of_security = self.lines = 0
        self._names: dict[str, None] = {}
        for number, line in enumerate(lines, start=1):
            self._read(line, number)

    def near_names(self) -> list[str]:
        """Return up to five names that look like the one searched."""
        folded = {clean(each).casefold(): clean(each) for each in self._names}
        wanted = self.name.casefold()
        near = [name for key, name in folded.items() if wanted and wanted in key][:_SHOWN]
        near += [folded[key] for key in get_close_matches(wanted, folded, n=_SHOWN, cutoff=0.6)]
        return list(dict.fromkeys(near))[:_SHOWN]

    def _read(self, line: bytes, number: int) -> None:
        try:
            names = _DECODER.decode(line)
        except UNREADABLE:
            return
        self.lines += 1
        found = FoundLine(number, names.fail_id, line)
        if names.fail_id == self.name:
            self.count_named += 1
            if len(self.named) < MOST:
                self.named.append(found)
        elif names.fail is not None and self.name in (names.fail.cusip, names.fail.symbol):
            self.count_of_security += 1
            if len(self.of_security) < MOST:
                self.of_security.append(found)
        if len(self._names) < _COMPARED:
            self._names[names.fail_id] = None


_SHOWN = 5
_DECODER = msgspec.json.Decoder(_Names)
