"""Reads a blotter in batches of lines; no line takes more memory than the limit of a line."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage

BATCH_LINES = 256
BATCH_BYTES = 1024 * 1024


InputLine = bytes | Damage
"""A line of JSON without its newline, or the reasons why a row gives none."""


class Batch(NamedTuple):
    """Consecutive lines; `first` is the number of the first (counted from 1).

    `end` counts the bytes of input up to the end of the last.
    """

    first: int
    lines: list[InputLine]
    end: int


def batches(source: BinaryIO, skip: int = 0, at_most: int = BATCH_LINES) -> Iterator[Batch]:
    """Yield the lines of `source` after the first `skip`, without their newlines.

    A line over the limit is cut just after it.
    """
    return group(lines_of(source), skip, at_most)


def group(
    given: Iterable[tuple[InputLine, int]], skip: int = 0, at_most: int = BATCH_LINES
) -> Iterator[Batch]:
    """Put lines, each with its length in the input in bytes, into batches."""
    lines: list[InputLine] = []
    first, size, end = skip + 1, 0, 0
    for number, (line, consumed) in enumerate(given, start=1):
        end += consumed
        if number <= skip:
            continue
        lines.append(line)
        size += len(line) if isinstance(line, bytes) else 0
        if len(lines) >= at_most or size >= BATCH_BYTES:
            yield Batch(first, lines, end)
            lines, first, size = [], number + 1, 0
    if lines:
        yield Batch(first, lines, end)


def lines_of(source: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each line without its newline, and its length in the input in bytes."""
    bound = limits.LINE_BYTES + 2
    line = source.readline(bound)
    bom = len(codecs.BOM_UTF8) if line.startswith(codecs.BOM_UTF8) else 0
    while line:
        consumed = len(line)
        piece = line
        while len(piece) == bound and not piece.endswith(b"\n"):
            piece = source.readline(bound)
            consumed += len(piece)
        yield (line[bom:-1] if line.endswith(b"\n") else line[bom:]), consumed
        bom = 0
        line = source.readline(bound)
