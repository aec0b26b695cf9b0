"""The head of a GGUF file: its key-value pairs, read and written; tensors are not looked at."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finops_cli.models.llama_cpp.gguf import MAGIC, NotGguf, gguf_pairs

__all__ = ["MAGIC", "NotGguf", "read_gguf", "write_gguf"]
_UINT32, _FLOAT32, _BOOL, _STRING = 4, 6, 7, 8
_LAYOUTS = {_UINT32: "<I", _FLOAT32: "<f", _BOOL: "<?"}
_VERSION = 3


def read_gguf(path: Path) -> dict[str, Any]:
    """The key-value pairs of the file at `path`. Raises NotGguf."""
    return dict(gguf_pairs(path))


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
    return struct.pack("<I", kind) + struct.pack(_LAYOUTS[kind], value)
