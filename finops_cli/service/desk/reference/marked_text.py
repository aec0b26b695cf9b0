"""Turns the Markdown that the rules use into parts that a template can draw.

The rules use paragraphs, lists with `*`, tables, bold text, code and links; nothing else is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

SpanKind = Literal["text", "code", "bold", "link"]
BlockKind = Literal["paragraph", "list", "table"]
_SPAN = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\((https://[^)\s]+)\)")
_ITEM = re.compile(r"^\s*[*-] ", re.MULTILINE)
_RULE_OF_TABLE = re.compile(r"[\s|:-]+")


class Span(NamedTuple):
    """A piece of text. `href` leads to a rule, or to a page elsewhere."""

    kind: SpanKind
    text: str
    href: str = ""


class Block(NamedTuple):
    """A paragraph, a list or a table: its items, or its rows of cells, each a line of spans."""

    kind: BlockKind
    rows: list[list[list[Span]]]


def read_blocks(text: str, ids: Collection[str]) -> list[Block]:
    """Return the blocks of a text. Code that is one of `ids` leads to that rule."""
    blocks: list[Block] = []
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = part.strip().splitlines()
        if lines and lines[0].lstrip().startswith("|"):
            rows = [_cells(line, ids) for line in lines if not _RULE_OF_TABLE.fullmatch(line)]
            blocks.append(Block("table", rows))
        elif _ITEM.search(part):
            head, *items = _ITEM.split(part)
            if head.strip():
                blocks.append(Block("paragraph", [[read_spans(head, ids)]]))
            blocks.append(Block("list", [[read_spans(item, ids)] for item in items]))
        elif lines:
            blocks.append(Block("paragraph", [[read_spans(part, ids)]]))
    return blocks


def _cells(line: str, ids: Collection[str]) -> list[list[Span]]:
    return [read_spans(cell, ids) for cell in line.strip().strip("|").split("|")]


def read_spans(text: str, ids: Collection[str]) -> list[Span]:
    """Return the pieces of a line of text."""
    return [span for span in _iterate(" ".join(text.split()), ids) if span.text]


def _iterate(text: str, ids: Collection[str]) -> Iterator[Span]:
    place = 0
    for match in _SPAN.finditer(text):
        yield Span("text", text[place : match.start()])
        code, bold, words, href = match.groups()
        if code:
            yield Span("code", code, f"/rules/{code}" if code in ids else "")
        elif bold:
            yield Span("bold", bold)
        else:
            yield Span("link", words, href)
        place = match.end()
    yield Span("text", text[place:])
