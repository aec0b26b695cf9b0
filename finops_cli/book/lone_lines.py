"""The lines whose security no other line names. Their fails have no rival (book, 4.2).

The first pass only looks at such a line. Its fail is planned when the line is answered: nothing
that another fail gets depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from finops_cli.book.index import BookIndex
from finops_cli.domain import limits
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.finding import Damage
from finops_cli.files.jsonl import InputLine

_CHARS = 9
_NO_LINE = bytes(_CHARS)
_SEVERAL = 0
"""In the place of a line number: more than one line concerns the security."""


class _Event(Struct):
    new_cusip: str | None = None


class Glance(Struct):
    """The fields that decide early what is done with a record."""

    cusip: str
    fail_id: str | None = None
    corporate_action: _Event | None = None

    @property
    def new_cusip(self) -> str | None:
        """Return the security that a corporate action puts in the place of `cusip`."""
        return None if self.corporate_action is None else self.corporate_action.new_cusip


_GLANCE = msgspec.json.Decoder(Glance)


def glance(line: InputLine) -> Glance | None:
    """Look at a line; None where all of it must be read."""
    if isinstance(line, Damage):
        return None
    try:
        found = _GLANCE.decode(line)
    except UNREADABLE:
        return None
    name = found.fail_id
    return found if name is None or 0 < len(name) <= limits.ID_CHARS else None


class LoneLines:
    """Finds the lines whose security no other line names, and keeps these lines until then.

    Memory: an entry for each security, and nine bytes for each line.
    """

    def __init__(self, index: BookIndex, *, has_inventory: bool) -> None:
        """`has_inventory`: the index is asked which securities a fail concerns."""
        self._index = index
        self._has_inventory = has_inventory
        self._first: dict[str, int] = {}
        """By security: the line that alone names it so far, else `_SEVERAL`."""
        self._named: dict[int, str] = {}
        """The securities of the lines of one batch that are the first to name theirs."""
        self._again: set[int] = set()
        """Lines that were the first to name their security, and not the last."""
        self._cusips = bytearray()
        """The security of each line that alone names it, from line 1 on; zeros for the others."""

    def choose(self, found: Iterable[tuple[int, InputLine]]) -> dict[int, str | None]:
        """Return the lines of a batch that wait, each with its `fail_id`; the others are read."""
        waiting: dict[int, str | None] = {}
        rows = []
        self._named.clear()
        for number, line in found:
            seen = glance(line)
            if seen is None or isinstance(line, Damage):
                continue
            cusip = seen.cusip
            if seen.new_cusip is not None or cusip in self._first or not _can_be_kept(cusip):
                continue
            self._first[cusip] = number
            self._named[number] = cusip
            waiting[number] = seen.fail_id
            rows.append((number, line))
        self._index.keep_lines(rows)
        return waiting

    def share(self, cusip: str) -> None:
        """Note that a line that was read concerns a security: it has no lone line any more."""
        first = self._first.get(cusip)
        if first != _SEVERAL:
            self._first[cusip] = _SEVERAL
            if first is not None:
                self._again.add(first)

    def drop(self, repeated: Iterable[int]) -> None:
        """Forget lines of the batch that repeat the `fail_id` of another one: they draw nothing."""
        for number in repeated:
            if number in self._named:
                del self._first[self._named[number]]

    def take_back(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the lines that waited, and whose security a later line names too."""
        if self._again:
            yield from self._index.read_lines(self._again)

    def finish(self) -> None:
        """Keep the lines that alone name their security."""
        self._again.clear()
        found = {line: cusip for cusip, line in self._first.items() if line != _SEVERAL}
        self._first.clear()
        if self._has_inventory:
            self._index.add_others(found.values())
        self._cusips = bytearray(_CHARS * max(found, default=0))
        for line, cusip in found.items():
            self._cusips[(line - 1) * _CHARS : line * _CHARS] = cusip.encode()

    def find(self, first: int, count: int) -> list[str | None]:
        """Return the security of each of consecutive lines that alone names it, else None."""
        found = [
            bytes(self._cusips[place * _CHARS : (place + 1) * _CHARS])
            for place in range(first - 1, first - 1 + count)
        ]
        return [None if each in (b"", _NO_LINE) else each.decode() for each in found]


def _can_be_kept(cusip: str) -> bool:
    return len(cusip) == _CHARS and cusip.isascii()
