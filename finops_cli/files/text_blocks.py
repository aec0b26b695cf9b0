"""Records that are pasted as the model cards print them: text over several lines.

A line that begins with a heading of `domain.text_form` begins a block. The block runs to the end of
its JSON value, else to a blank line, to the next heading or to a line of JSON. It becomes one line
of JSON: a text form `{"text": ...}`, or the object that follows the heading.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import BinaryIO

from finops_cli.domain import limits
from finops_cli.domain.text_form import CASE_HEADING, HEADING
from finops_cli.files.jsonl import Lines

_RUN = re.compile(rb"""ollama run \S{1,200} ["'](?=(?:Triage|Resolve) this fail)""")
"""The beginning of the cards' own commands; the program reads what stands between the quotes."""
_HEADINGS = (HEADING.encode(), CASE_HEADING.encode())
_STARTS = (*_HEADINGS, b"ollama run ")
_IS_START = re.compile(rf"^(?:ollama run \S+ [\"'])?(?:{HEADING}|{CASE_HEADING})", re.MULTILINE)
_ESCAPED = re.compile(rb'\\(["$`\\])')
"""The characters that a shell reads without their backslash between double quotes."""
_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_NEWLINE = b"\\n"
"""A line break as Python and llama.cpp write it."""
_QUOTES = (b'"', b"'")


def has_heading(text: str) -> bool:
    """Return true where a line of `text` begins a block."""
    return _IS_START.search(text) is not None


def _heading_of(line: bytes) -> bytes | None:
    """Return the heading that `line` begins with, after the beginning of a card's command."""
    if not line.startswith(_STARTS):
        return None
    bare = _RUN.sub(b"", line, count=1)
    return next((heading for heading in _HEADINGS if bare.startswith(heading)), None)


class _Block:
    """The lines of one block so far."""

    def __init__(self, line: bytes, heading: bytes) -> None:
        self.consumed = 0
        self.is_complete = False
        self._heading = heading
        self._lines: list[bytes] = []
        self._bytes = 0
        self._is_json = heading == _HEADINGS[1]
        self._is_escaped: bool | None = None
        self._depth = 0
        self._is_in_text = False
        bare = _RUN.sub(b"", line, count=1)
        self.append(bare.removeprefix(heading).lstrip().removeprefix(_NEWLINE))

    @property
    def has_object(self) -> bool:
        """Return true once the block holds an object, or can hold nothing else."""
        return self._is_json

    @property
    def is_empty(self) -> bool:
        """Return true for a block that has only its heading."""
        return not any(line.strip() for line in self._lines)

    def append(self, line: bytes) -> None:
        """Add a line. The block is complete at the end of its JSON value."""
        if self.is_empty and line.lstrip()[:1] in (b"{", b"["):
            self._is_json = True
        if self._is_json:
            line = self._follow(line)
        self._lines.append(line)
        self._bytes += len(line)
        self.is_complete |= self._bytes > limits.LINE_BYTES

    def _follow(self, line: bytes) -> bytes:
        """Follow the brackets of a line of JSON; return it without a shell's backslashes."""
        if self._is_escaped is None and b'"' in line:
            self._is_escaped = line[: line.index(b'"')].endswith(b"\\")
        if self._is_escaped:
            line = _ESCAPED.sub(rb"\1", line)
        for token in _TOKEN.finditer(line):
            mark = token[0]
            if mark == b'"':
                self._is_in_text = not self._is_in_text
            elif not self._is_in_text and mark in b"{[":
                self._depth += 1
            elif not self._is_in_text and mark in b"}]":
                self._depth -= 1
                if self._depth <= 0:
                    self.is_complete = True
                    rest = line[token.end() :].strip()
                    return line[: token.end()] if rest in (b"", *_QUOTES) else line
        return line

    def line(self) -> bytes:
        """Return the block as one line of JSON."""
        text = b"\n".join(self._lines)
        if self._is_json:
            return text.strip()
        whole = self._heading.decode() + "\n" + text.decode("utf-8", "replace")
        return json.dumps({"text": _without_closing_quote(whole.rstrip())}).encode()


def _without_closing_quote(text: str) -> str:
    """Drop the quotation mark that closes a card's command; one of a quoted value has a partner."""
    for mark in ('"', "'"):
        if text.endswith(mark) and re.sub(r"\\.", "", text).count(mark) % 2:
            return text[:-1]
    return text


class PastedLines(Lines):
    """The lines of a source, in which each block is one line.

    A source may be the rest of a text: `is_start` and `is_after_block` say what is before it.
    """

    def __init__(
        self, source: BinaryIO, *, is_start: bool = True, is_after_block: bool = False
    ) -> None:
        super().__init__(source, is_start=is_start)
        self.position = 0
        """The bytes of the source up to the end of the last line that was looked at."""
        self._ready: deque[tuple[bytes, int]] = deque()
        self._block: _Block | None = None
        self._is_after_block = is_after_block
        self._is_done = False

    @property
    def is_between(self) -> bool:
        """Return true where `position` is the end of the last line that was yielded."""
        return self._block is None and not self._ready

    @property
    def is_after_block(self) -> bool:
        """Return true where the last line was a block."""
        return self._is_after_block

    def __next__(self) -> tuple[bytes, int]:
        complete = self._complete
        if (
            complete
            and not self._ready
            and self._block is None
            and complete[0][0].startswith(b"{")  # nearly all lines: it is a line of its own
        ):
            self._is_first = self._is_after_block = False
            found = complete.popleft()
            self.position += found[1]
            return found
        while not self._ready:
            if self._is_done:
                raise StopIteration
            self._advance()
        return self._ready.popleft()

    def has_next_now(self) -> bool:
        """Return true if the next line or block, or the end, is there without waiting."""
        while not self._ready and not self._is_done:
            if not super().has_next_now():
                return False
            self._advance()
        return True

    def _advance(self) -> None:
        """Take one line of the source: to the block that it belongs to, or to the lines."""
        try:
            line, consumed = super().__next__()
        except StopIteration:
            self._is_done = True
            self._end_block()
            return
        self.position += consumed
        heading = _heading_of(line)
        is_blank = not line or line.isspace()
        if self._block is not None and self._ends_block(line, heading, is_blank=is_blank):
            self._end_block()
        if is_blank and (self._is_after_block or self._block is not None):
            self.blank -= 1  # it ends a block, or follows its heading: it does not count as a line
        elif self._block is not None:
            self._block.append(line)
            self._block.consumed += consumed
        elif heading is not None:
            self._block = _Block(line, heading)
            self._block.consumed = consumed
        else:
            self._is_after_block = False
            self._ready.append((line, consumed))
        if self._block is not None and self._block.is_complete:
            self._end_block()

    def _ends_block(self, line: bytes, heading: bytes | None, *, is_blank: bool) -> bool:
        block = self._block
        if block is None or heading is not None or is_blank:
            return block is not None and not (is_blank and block.is_empty)
        return line.startswith(b"{") and not block.has_object and not block.is_empty

    def _end_block(self) -> None:
        if self._block is not None:
            self._ready.append((self._block.line(), self._block.consumed))
            self._block, self._is_after_block = None, True
