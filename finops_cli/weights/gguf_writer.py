"""Write the head of a GGUF file, version 3: key-value pairs and the table of tensors.

A file contains, in order: magic, version, counts; pairs; names, dimensions, types and offsets of
the tensors; then the tensors, each at a multiple of 32 bytes. All numbers are little-endian.

Source: ggml's `docs/gguf.md`.
"""

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


class TensorHeader(NamedTuple):
    """The entry of a tensor in the head of a file."""

    name: str
    shape: tuple[int, ...]
    """The slowest dimension first."""
    kind: int
    """The number of its type in ggml."""
    bytes: int


def encode_head(pairs: Mapping[str, Pair], tensors: Sequence[TensorHeader]) -> bytes:
    """Encode the head of a file, padded to the start of the first tensor.

    The caller writes the tensors, each followed by `make_padding`.
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
        at += tensor.bytes + len(make_padding(tensor.bytes))
    head = b"".join(parts)
    return head + make_padding(len(head))


def make_padding(length: int) -> bytes:
    """Return the zero bytes after `length` bytes, up to the next aligned position."""
    return bytes(-length % ALIGNMENT)


def write_gguf(path: Path, pairs: Mapping[str, Pair]) -> None:
    """Write a GGUF file without tensors. The fake Ollama accepts it, but it cannot run."""
    path.write_bytes(encode_head(pairs, ()))


def _pack_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _pack(value: Pair) -> bytes:
    """Encode a value after its type."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _pack_text(value)
    if isinstance(value, Sequence):
        return _pack_list(value)
    kind = BOOL if isinstance(value, bool) else UINT32 if isinstance(value, int) else FLOAT32
    return struct.pack("<I", kind) + struct.pack(SCALARS[kind], value)


def _pack_list(
    values: Sequence[str] | Sequence[int] | Sequence[bool] | Sequence[float],
) -> bytes:
    types = {str: STRING, bool: BOOL, float: FLOAT32}
    kind = types.get(type(values[0]), INT32)
    items = (
        _pack_text(value) if isinstance(value, str) else struct.pack(SCALARS[kind], value)
        for value in values
    )
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(items)
