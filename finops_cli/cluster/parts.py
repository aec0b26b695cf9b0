"""Parts of an input: consecutive lines that one worker answers.

The driver cuts at the ends of lines, never inside a record that is pasted over several lines. The
cuts depend on the content and the size of a part alone, so a resumed run cuts at the same places.
Lines that are made of other files, such as rows of a table or records that get the receives of
their security, are copied: each part has a file of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.finding import Damage
from finops_cli.errors import InputChanged
from finops_cli.files.jsonl import Batch, FilePlace, InputLine
from finops_cli.files.text_blocks import PastedLines


class Part(Struct, frozen=True, kw_only=True):
    """Consecutive lines of the input. Only this description travels through Ray."""

    name: str
    """Its number, with those of the halves that a part was split into: `000012`, `000012-1`."""
    first: int
    """The number of its first line, counted from 1."""
    lines: int
    offset: int
    """Bytes of the input before it."""
    length: int
    """Bytes."""
    sha256: str
    """The SHA-256 of its bytes: a worker answers nothing else."""
    end_offset: int
    """The length of the whole input in bytes."""
    is_copied: bool = False
    """True where its lines are in a file of its own: they are not those of the input itself."""
    is_after_block: bool = False
    """True where the line before it ends a record that was pasted over several lines."""
    place: FilePlace | None = None
    """Where its first line stands, in an input of several files."""

    def place_of(self, number: int) -> FilePlace | None:
        """Return where the line `number` stands, in an input of several files."""
        if self.place is None:
            return None
        return self.place.after(number - self.first)

    @property
    def end(self) -> int:
        """The number of the first line after it."""
        return self.first + self.lines


class PartSize(NamedTuple):
    """The size at which a part ends."""

    bytes: int
    """In the input."""
    lines: int | None = None
    """None: no limit."""


def choose_size(parts: Mapping[str, int], length: int, *, has_models: bool) -> PartSize:
    """Choose the size of the parts of an input of so many bytes, by the kb entry cluster.parts.

    It depends on nothing that may be otherwise when the run is resumed.
    """
    even = max(parts["least_bytes"], length // parts["parts"])
    return PartSize(min(parts["bytes"], even), parts["records"] if has_models else None)


class CutPart(NamedTuple):
    """A part, and the content of its own file where it has one."""

    part: Part
    copy: bytes | None = None


# parts of the input itself


def cut_file(lines: PastedLines, path: Path, size: PartSize) -> Iterator[CutPart]:
    """Yield the parts of a file in order. `lines` reads it, `path` is the same file."""
    with path.open("rb") as again:
        for number, span in enumerate(_cut_spans(lines, size, 1, 0)):
            yield CutPart(span.as_part(f"{number:06}", again))


class _Span(NamedTuple):
    first: int
    lines: int
    offset: int
    end: int
    """The offset of the byte after it."""
    is_after_block: bool

    def as_part(self, name: str, source: BinaryIO) -> Part:
        return Part(
            name=name,
            first=self.first,
            lines=self.lines,
            offset=self.offset,
            length=self.end - self.offset,
            sha256=_digest(source, self.offset, self.end - self.offset),
            end_offset=self.end,
            is_after_block=self.is_after_block,
        )


def _cut_spans(lines: PastedLines, size: PartSize, first: int, offset: int) -> Iterator[_Span]:
    """Yield the spans of `lines`, whose first has the number `first` and begins at `offset`."""
    count, start, is_after = 0, offset, lines.is_after_block
    for _ in lines:
        count += 1
        if not lines.is_between:
            continue
        end = offset + lines.position
        if end - start >= size.bytes or (size.lines is not None and count >= size.lines):
            yield _Span(first, count, start, end, is_after)
            first, count, start, is_after = first + count, 0, end, lines.is_after_block
    if count:
        yield _Span(first, count, start, offset + lines.position, is_after)


def _split_span(part: Part, source: Path, at_most: int) -> list[CutPart]:
    size = PartSize(part.length + 1, at_most)
    with source.open("rb") as file:
        lines = _open_span(part, read_part(file, part))
        spans = list(_cut_spans(lines, size, part.first, part.offset))
        names = [f"{part.name}-{number}" for number in range(1, len(spans) + 1)]
        return [CutPart(span.as_part(name, file)) for name, span in zip(names, spans, strict=True)]


def _open_span(part: Part, content: bytes) -> PastedLines:
    """Open the lines of a part as a run reads them from the whole file."""
    return PastedLines(
        BytesIO(content), is_start=part.offset == 0, is_after_block=part.is_after_block
    )


# parts with files of their own


_LINE, _DAMAGE = b"=", b"!"
"""The first byte of a line in a copy: a line of JSON, or a row that gave no record."""
_DAMAGED = msgspec.json.Decoder(Damage)


def cut_batches(batches: Iterable[Batch], size: PartSize) -> Iterator[CutPart]:
    """Yield the parts of lines that are made of other files, each with its content."""
    found: list[bytes] = []
    length, number, first, end = 0, 0, 1, 0
    place: FilePlace | None = None
    for batch in batches:
        if found and _is_another_file(place, batch.place):
            yield cut_copy(found, f"{number:06}", first, end, place)
            first += len(found)
            found, length, number = [], 0, number + 1
        place = place if found else batch.place
        for line in batch.lines:
            found.append(copy_line(line))
            length += len(found[-1])
        end = batch.end
        if length >= size.bytes or (size.lines is not None and len(found) >= size.lines):
            yield cut_copy(found, f"{number:06}", first, end, place)
            first += len(found)
            found, length, number = [], 0, number + 1
    if found:
        yield cut_copy(found, f"{number:06}", first, end, place)


def _is_another_file(before: FilePlace | None, now: FilePlace | None) -> bool:
    """Return true where two batches have lines of different files: a part has those of one."""
    return before is not None and now is not None and before.file != now.file


def copy_line(line: InputLine) -> bytes:
    """Write a line for the file of its own that a part has."""
    if isinstance(line, Damage):
        return _DAMAGE + msgspec.json.encode(line) + b"\n"
    return _LINE + line + b"\n"


def cut_copy(
    lines: list[bytes], name: str, first: int, end: int, place: FilePlace | None
) -> CutPart:
    """Make a part of lines that `copy_line` wrote; the first one has the number `first`."""
    content = b"".join(lines)
    part = Part(
        name=name,
        first=first,
        lines=len(lines),
        offset=0,
        length=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        end_offset=end,
        is_copied=True,
        place=place,
    )
    return CutPart(part, content)


def _split_copy(part: Part, source: Path, at_most: int) -> list[CutPart]:
    with source.open("rb") as file:
        lines = list(BytesIO(read_part(file, part)))
    places = range(0, len(lines), at_most)
    return [
        cut_copy(
            lines[at : at + at_most],
            f"{part.name}-{n}",
            part.first + at,
            part.end_offset,
            part.place_of(part.first + at),
        )
        for n, at in enumerate(places, start=1)
    ]


# both


def split_part(part: Part, source: Path, at_most: int) -> list[CutPart]:
    """Split a part into parts of at most `at_most` lines; one that cannot be split gives none.

    `source` is the file that holds its lines.
    """
    split = _split_copy if part.is_copied else _split_span
    pieces = split(part, source, at_most)
    return pieces if len(pieces) > 1 else []


def open_part(part: Part, source: Path) -> Iterable[tuple[InputLine, int]]:
    """Read the lines of a part, each with its length in bytes.

    Raises InputChanged where the bytes are not those that were cut.
    """
    with source.open("rb") as file:
        content = read_part(file, part)
    return _read_copy(content) if part.is_copied else _open_span(part, content)


def _read_copy(content: bytes) -> Iterator[tuple[InputLine, int]]:
    for line in BytesIO(content):
        rest = line[1:-1]
        yield (_DAMAGED.decode(rest) if line.startswith(_DAMAGE) else rest), len(line)


def read_part(source: BinaryIO, part: Part) -> bytes:
    """Read the bytes of a part. Raises InputChanged where they are not those that were cut."""
    source.seek(part.offset)
    content = source.read(part.length)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise InputChanged(
            f"{source.name}: lines {part.first:,} to {part.end - 1:,} are not those that the run"
            " began with",
            "wait until nothing writes it, and run it again with --overwrite; or give every"
            " machine the same file",
        )
    return content


def _digest(source: BinaryIO, offset: int, length: int) -> str:
    source.seek(offset)
    digest = hashlib.sha256()
    while length > 0:
        piece = source.read(min(length, 1 << 20))
        if not piece:
            break
        digest.update(piece)
        length -= len(piece)
    return digest.hexdigest()


_PART = msgspec.json.Decoder(Part)


def encode_part(part: Part) -> str:
    """Write a part as text, for Ray and for the list of finished parts."""
    return msgspec.json.encode(part).decode()


def decode_part(text: str | bytes) -> Part:
    """Read a part. Raises msgspec.DecodeError for another text."""
    return _PART.decode(text)
