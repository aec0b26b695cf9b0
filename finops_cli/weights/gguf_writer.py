"""The head of a GGUF file, read and written: key-value pairs, and what the tensors behind it are
called. Version 3, little-endian.

The layout is that of ggml's `docs/gguf.md`: magic, version, counts; pairs; names, dimensions, types
and offsets of the tensors; then the tensors themselves, each at a multiple of 32 bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from finops_cli.models.gguf import (
    ALIGNMENT,
    ARRAY,
    BOOL,
    FLOAT32,
    INT32,
    MAGIC,
    SCALARS,
    STRING,
    UINT32,
    VERSION,
    Pair,
)


class Stored(NamedTuple):
    """A tensor as the head announces it: `shape` with its slowest dimension first, `kind` by ggml's
    number, its size in bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    bytes: int


def head_bytes(pairs: Mapping[str, Pair], tensors: Sequence[Stored]) -> bytes:
    """The head of a file with `tensors`, filled up to where the first of them begins; each of them
    is to be filled up by `padding`.
    """
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(pairs))]
    parts += [_pack_text(name) + _pack(value) for name, value in pairs.items()]
    at = 0
    for tensor in tensors:
        dimensions = tensor.shape[::-1]
        parts.append(_pack_text(tensor.name))
        parts.append(
            struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, tensor.kind, at)
        )
        at += tensor.bytes + len(padding(tensor.bytes))
    head = b"".join(parts)
    return head + padding(len(head))


def padding(length: int) -> bytes:
    """What fills `length` bytes up to where something may begin."""
    return bytes(-length % ALIGNMENT)


def write_gguf(path: Path, pairs: Mapping[str, Pair]) -> None:
    """A GGUF file with a head and no tensors: enough to create a model from in tests, too
    little to run.
    """
    path.write_bytes(head_bytes(pairs, ()))


def _pack_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _pack(value: Pair) -> bytes:
    """A value with its type in front."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _pack_text(value)
    if isinstance(value, Sequence):
        return _pack_list(value)
    kind = BOOL if isinstance(value, bool) else UINT32 if isinstance(value, int) else FLOAT32
    return struct.pack("<I", kind) + struct.pack(SCALARS[kind], value)


def _pack_list(values: Sequence[str] | Sequence[int] | Sequence[bool]) -> bytes:
    kind = STRING if isinstance(values[0], str) else BOOL if isinstance(values[0], bool) else INT32
    items = (
        _pack_text(value) if isinstance(value, str) else struct.pack(SCALARS[kind], value)
        for value in values
    )
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(items)
