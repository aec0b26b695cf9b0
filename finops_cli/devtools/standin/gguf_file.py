"""The head of a GGUF file: its key-value pairs, read and written; tensors are not looked at."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"GGUF"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9
_VERSION = 3
_LONGEST = 64 * 1024 * 1024


class NotGguf(Exception):
    """The file is no GGUF file, or ends in the middle of its head."""


def read_gguf(path: Path) -> dict[str, Any]:
    """The key-value pairs of the file at `path`. Raises NotGguf."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf("invalid file magic")
        try:
            _, _, pairs = struct.unpack("<IQQ", file.read(20))
            return {_text(file): _value(file, _scalar(file, _UINT32)) for _ in range(pairs)}
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise NotGguf("unexpected EOF") from error


def write_gguf(path: Path, pairs: Mapping[str, str | int | float | bool]) -> None:
    """A GGUF file with a head and no tensors: enough for the stand-in to create a model from, too little to run."""
    head = MAGIC + struct.pack("<IQQ", _VERSION, 0, len(pairs))
    path.write_bytes(head + b"".join(_pack_text(name) + _pack(value) for name, value in pairs.items()))


def _pack_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _pack(value: str | int | float | bool) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _pack_text(value)
    kind = _BOOL if isinstance(value, bool) else _UINT32 if isinstance(value, int) else _FLOAT32
    return struct.pack("<I", kind) + struct.pack(_SCALARS[kind], value)


def _scalar(file: BinaryIO, kind: int) -> Any:
    layout = _SCALARS[kind]
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _text(file: BinaryIO) -> str:
    length = struct.unpack("<Q", file.read(8))[0]
    if length > _LONGEST:
        raise NotGguf("unexpected EOF")
    return file.read(length).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        inner, length = struct.unpack("<IQ", file.read(12))
        return [_value(file, inner) for _ in range(length)]
    return _scalar(file, kind)
