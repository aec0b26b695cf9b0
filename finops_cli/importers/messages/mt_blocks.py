"""Find the MT messages of a file (ISO 15022), and their fields, line by line.

    {1:F01...}{2:O548...}{4:
    :16R:GENL
    :20C::SEME//REF
    -}{5:...}

A file may have text before a message, an acknowledgement in front of it, blank lines, CRLF, several
messages behind one another, or the text of block 4 alone.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple

_LINE_BYTES = 65_536
_HEADER_CHARS = 8_192
_VALUE_CHARS = 16_384
_BEGIN, _TEXT, _END = "{1:", "{4:", "-}"
_TYPE = re.compile(r"\{2:\s*[IO]([0-9]{3})")
_FIELD = re.compile(r"\s*:([0-9]{2}[A-Z]?):(.*)", re.DOTALL)
_BARE = re.compile(r"\s*:16R:GENL\s*$")
_CUT = "the message is cut off: a new message begins before its end"


class MessageStart(NamedTuple):
    """The beginning of a message. `type` is three digits; None for a text without a header."""

    line: int
    type: str | None


class MtField(NamedTuple):
    """A field of a message: `:95P::REAG//EXAMUS33` has the tag 95P and the rest as value."""

    tag: str
    value: str
    line: int


class MessageEnd(NamedTuple):
    """The end of a message; `fault` says why it cannot be read whole."""

    line: int
    fault: str | None = None


Event = MessageStart | MtField | MessageEnd


def read_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the messages of a file as events. Memory does not grow with the file."""
    reader = _Reader()
    number, is_whole = 0, True
    while raw := file.readline(_LINE_BYTES):
        number += is_whole
        is_whole = raw.endswith(b"\n")
        for text in _decode(raw).rstrip("\n").split("\r"):  # old files end lines with CR alone
            yield from reader.read(text, number)
    yield from reader.end(number)


def _decode(raw: bytes) -> str:
    """Decode a line: UTF-8, else ISO-8859-1, which custodians use for names."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


class _Reader:
    def __init__(self) -> None:
        self._header = ""
        self._is_inside = False
        self._field: MtField | None = None
        self._is_too_long = False
        self._has_header = self._has_general = False

    def read(self, text: str, line: int) -> Iterator[Event]:
        while text:
            if self._is_inside:
                text = yield from self._read_inside(text, line)
            else:
                text = yield from self._read_outside(text, line)

    def end(self, line: int) -> Iterator[Event]:
        if self._is_inside:
            fault = "the file ends before the message does" if self._has_header else None
            yield from self._finish(line, fault)  # a bare text has no end but its last sequence

    # the two readers return what is left of the line
    def _read_outside(self, text: str, line: int) -> Generator[Event, None, str]:
        if not self._header:
            if _BARE.match(text):
                yield from self._begin(line, None, is_bare=True)
                return text
            start = text.find(_BEGIN)
            if start < 0:
                return ""
            text = text[start:]
        self._header += text
        begin = self._header.find(_TEXT)
        again = self._header.rfind(_BEGIN, 1, begin if begin >= 0 else None)
        if again > 0:  # a message without text, such as an acknowledgement of the network
            self._header = self._header[again:]
            begin = self._header.find(_TEXT)
        if begin < 0:
            self._header = self._header[-_HEADER_CHARS:]
            return ""
        head, rest = self._header[:begin], self._header[begin + len(_TEXT) :]
        if rest.lstrip().startswith("{"):  # {4:{177:...}{451:0}}: an acknowledgement
            closed = rest.find("}}")
            self._header = "" if closed >= 0 else self._header[:_HEADER_CHARS]
            return rest[closed + 2 :] if closed >= 0 else ""
        self._header = ""
        found = _TYPE.search(head)
        yield from self._begin(line, found[1] if found else None)
        return rest

    def _begin(self, line: int, type: str | None, is_bare: bool = False) -> Iterator[Event]:
        self._is_inside, self._field, self._is_too_long = True, None, False
        self._has_header, self._has_general = not is_bare, False
        yield MessageStart(line, type)

    def _read_inside(self, text: str, line: int) -> Generator[Event, None, str]:
        if _BARE.match(text) and self._has_general:  # each message has one GENL, its first
            yield from self._finish(line, _CUT if self._has_header else None)
            return text
        end, again = text.find(_END), text.find(_BEGIN)
        if again >= 0 and (end < 0 or again < end):
            yield from self._finish(line, _CUT)
            return text[again:]
        if end >= 0:
            yield from self._take(text[:end], line)
            yield from self._finish(line, None)
            return text[end + len(_END) :]
        if text.strip() == "-":
            yield from self._finish(line, None)
            return ""
        yield from self._take(text, line)
        return ""

    def _take(self, text: str, line: int) -> Iterator[Event]:
        """Take a line of block 4: a field begins, or the field before goes on."""
        found = _FIELD.match(text)
        if found is not None:
            self._has_general |= _BARE.match(text) is not None
            if self._field is not None:
                yield self._field
            self._field = MtField(found[1], found[2].rstrip(), line)
        elif self._field is not None and text.strip():
            value = f"{self._field.value}\n{text.rstrip()}"
            self._is_too_long |= len(value) > _VALUE_CHARS
            self._field = self._field._replace(value=value[:_VALUE_CHARS])

    def _finish(self, line: int, fault: str | None) -> Iterator[Event]:
        if self._field is not None:
            yield self._field
        if fault is None and self._is_too_long:
            fault = f"a field has more than {_VALUE_CHARS:,} characters"
        self._is_inside, self._field = False, None
        yield MessageEnd(line, fault)
