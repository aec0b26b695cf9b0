"""Read the head of a GGUF file, version 3: key-value pairs and the table of tensors.

The layout follows ggml's `docs/gguf.md`: magic, version, counts; pairs; names, dimensions, types
and offsets of the tensors; then the tensors, each at a multiple of 32 bytes. All numbers are
little-endian.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAGIC = b"GGUF"
SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
VERSION = 3
ALIGNMENT = 32
_LONGEST = 64 * 1024 * 1024
_MOST_DIMENSIONS = 8
_MOST_ENTRIES = 4 * 1024 * 1024
"""Of an array: sixteen times the largest vocabulary, little enough for memory."""

Pair = str | int | float | bool | Sequence[str] | Sequence[int] | Sequence[bool] | Sequence[float]
"""A value of the head.

A list has one type and is not empty. Whole numbers are uint32 alone and int32 in a list.
"""

KINDS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    30: "BF16",
}
"""ggml's names of the tensor types that finops knows."""


class NotGguf(Exception):
    """The file is not a GGUF file, or ends in the middle of its head."""


class Placed(NamedTuple):
    """A tensor of a file."""

    shape: tuple[int, ...]
    """The slowest dimension first."""
    kind: int
    """The number of its type in ggml."""
    at: int
    """The position of its first byte."""


class Head(NamedTuple):
    """The metadata before the tensors, and the place of each tensor by its name."""

    pairs: dict[str, Any]
    tensors: dict[str, Placed]

    @property
    def kinds(self) -> dict[str, int]:
        """Count the tensors of each type, by name (`KINDS`) or number."""
        return dict(
            sorted(
                Counter(
                    KINDS.get(tensor.kind, f"type {tensor.kind}")
                    for tensor in self.tensors.values()
                ).items()
            )
        )


def gguf_pairs(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the key-value pairs of a file one by one, because the vocabulary at the end is long.

    Raises NotGguf.
    """
    with path.open("rb") as file:
        _, count = _counts(file)
        yield from _pairs(file, count)


def read_gguf(path: Path) -> dict[str, Any]:
    """Return the key-value pairs of the file at `path`. Raises NotGguf."""
    return dict(gguf_pairs(path))


def read_head(path: Path) -> Head:
    """Read the whole head. Raises NotGguf."""
    with path.open("rb") as file:
        count, pair_count = _counts(file)
        pairs = dict(_pairs(file, pair_count))
        announced: dict[str, Placed] = {}
        try:
            for _ in range(count):
                name, tensor = _announced(file)
                if name in announced:
                    raise NotGguf(f"the tensor {name} occurs twice")
                announced[name] = tensor
        except (struct.error, UnicodeDecodeError) as error:
            raise NotGguf("unexpected EOF") from error
        begin = file.tell() + -file.tell() % _alignment(pairs)
    return Head(
        pairs, {name: tensor._replace(at=begin + tensor.at) for name, tensor in announced.items()}
    )


def _alignment(pairs: Mapping[str, Any]) -> int:
    """Return the alignment of the tensors in bytes. A file may set its own."""
    alignment = pairs.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment % 8:
        raise NotGguf(f"general.alignment is {alignment!r:.40}, which is not a multiple of 8")
    return alignment


def _announced(file: BinaryIO) -> tuple[str, Placed]:
    """Read the name of the next tensor and its place after the head."""
    name = _text(file)
    dimensions = _scalar(file, UINT32)
    if dimensions > _MOST_DIMENSIONS:
        raise NotGguf("a tensor with too many dimensions")
    *sizes, kind, at = struct.unpack(f"<{dimensions}QIQ", file.read(8 * dimensions + 12))
    return name, Placed(tuple(reversed(sizes)), kind, at)


def _counts(file: BinaryIO) -> tuple[int, int]:
    """Read the numbers of tensors and of pairs, up to the first pair."""
    if file.read(4) != MAGIC:
        raise NotGguf("invalid file magic")
    try:
        _, tensors, pairs = struct.unpack("<IQQ", file.read(20))
    except struct.error as error:
        raise NotGguf("unexpected EOF") from error
    return tensors, pairs


def _pairs(file: BinaryIO, count: int) -> Iterator[tuple[str, Any]]:
    try:
        for _ in range(count):
            yield _text(file), _value(file, _scalar(file, UINT32))
    except (struct.error, UnicodeDecodeError) as error:
        raise NotGguf("unexpected EOF") from error


def _scalar(file: BinaryIO, kind: int) -> Any:
    layout = SCALARS.get(kind)
    if layout is None:
        raise NotGguf(f"a value of type {kind}, which GGUF does not have")
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _text(file: BinaryIO) -> str:
    length = struct.unpack("<Q", file.read(8))[0]
    if length > _LONGEST:
        raise NotGguf("unexpected EOF")
    text = file.read(length)
    if len(text) < length:
        raise NotGguf("unexpected EOF")
    return text.decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _text(file)
    if kind == ARRAY:
        inner, length = struct.unpack("<IQ", file.read(12))
        if inner == ARRAY:
            raise NotGguf("an array of arrays")
        if length > _MOST_ENTRIES:
            raise NotGguf(f"an array of {length:,} entries")
        return [_value(file, inner) for _ in range(length)]
    return _scalar(file, kind)
