"""Lines of an earlier plan that a change of the inventory does not touch are copied (book, 9.4).

Planning again with the earlier plan as `--sent` gives each security whose sources did not change
the same allotments. So its lines are those of the earlier plan, but for `change`, which is `same`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.book.allocation.pool import TIERS
from finops_cli.book.sent import SentPlan
from finops_cli.book.summary import WORST, BookSummary
from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.enums import Tier
from finops_cli.errors import ResumeRefused
from finops_cli.files.line_files import reading_lines
from finops_cli.pipeline.book_parts import AttachedPart
from finops_cli.pipeline.output import set_change
from finops_cli.pipeline.resume import BookNote, Fingerprint, digest, read_note


class _Tier(Struct):
    priority_tier: Tier


class _Place(Struct):
    cusip: str
    uncovered: int


class _Uncovered(Struct):
    """The facts of a line that say how badly its security stands."""

    triage: _Tier | None = None
    book: _Place | None = None


class _Owed(Struct):
    qty: int


class _Counted(Struct):
    """The facts of a line that a summary counts."""

    triage: _Tier | None = None
    fail: _Owed | None = None
    allotment: tuple[AllottedShares, ...] | None = None
    book: BookPlace | None = None


_UNCOVERED = msgspec.json.Decoder(_Uncovered)
_COUNTED = msgspec.json.Decoder(_Counted)


class Selection(NamedTuple):
    """The fails that are planned again, and the earlier plan that has the other ones."""

    cusips: frozenset[str]
    """The securities that are planned again."""
    before: Path
    """The output of the earlier plan. It has a line for each line of the input, in its order."""
    sent: SentPlan
    """Gets the lines of the fails that are planned again."""


def find_again(before: Path, now: Fingerprint, settings: str) -> frozenset[str] | None:
    """Find the securities that an earlier plan does not decide; None: none of its lines can stay.

    The input, the rules, the options and the inventory file must be those of the earlier plan, and
    its output as it was written. `settings` are the settings in the note of the new run.
    """
    try:
        note = read_note(before)
    except ResumeRefused:
        return None
    if not note.complete or note.book is None or note.evidence is None:
        return None
    written = note.evidence.output
    if note.book.settings != settings or written is None or written.sha256 != digest(before)[1]:
        return None
    changed = [
        name
        for name in Fingerprint.__struct_fields__
        if name != "book" and getattr(note.fingerprint, name) != getattr(now, name)
    ]
    return None if changed else frozenset(note.book.again)


def find_worst(before: Path, again: frozenset[str]) -> list[str]:
    """Find the securities of an earlier plan that a summary shows, besides those planned again."""
    short: dict[str, Counter[str]] = {}
    with reading_lines(before) as file:
        for line in file:
            found = _UNCOVERED.decode(line)
            place = found.book
            if place is None or not place.uncovered or found.triage is None:
                continue
            if place.cusip not in again:
                counts = short.setdefault(place.cusip, Counter())
                counts[found.triage.priority_tier] += place.uncovered
    keys = sorted(short)  # equal ones in the order of their names
    return nlargest(WORST, keys, key=lambda cusip: [short[cusip][tier] for tier in TIERS])


class Copier:
    """Gives the lines of an earlier plan in their order."""

    def __init__(self, before: Path, summary: BookSummary) -> None:
        """`summary` counts the lines that are copied."""
        self._before = before
        self._summary = summary

    def attach(self, parts: Iterator[AttachedPart | None], skip: int) -> Iterator[AttachedPart]:
        """Yield for each line after the first `skip` its part, or the line that is copied.

        `parts` begins with the first line of the input, None where a line has no part.
        """
        with reading_lines(self._before) as file:
            for number, part in enumerate(parts, start=1):
                line = _next_line(file)
                if part is None:
                    self._count(line)
                if number <= skip:
                    continue
                if part is not None:
                    yield part
                else:
                    yield AttachedPart(b"", copied=set_change(line, "same"))

    def _count(self, line: bytes) -> None:
        self._summary.copied += 1
        found = _COUNTED.decode(line)
        if found.book is None or found.triage is None or found.fail is None:
            return
        borrowed = sum(each.qty for each in found.allotment or () if each.kind == "BORROW")
        self._summary.add_copied(found.triage.priority_tier, found.fail.qty, found.book, borrowed)


def _next_line(file: BinaryIO) -> bytes:
    line = file.readline()
    if not line:
        raise AssertionError("the earlier plan has fewer lines than its input")
    return line


def make_note(settings: str, touched: frozenset[str], summary: BookSummary) -> BookNote:
    """Make the note of a plan, from which a later one copies lines.

    `touched`: the securities whose sources differ from the inventory file.
    """
    return BookNote(settings=settings, again=tuple(sorted(touched | summary.again)))
