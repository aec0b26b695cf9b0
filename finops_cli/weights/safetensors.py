"""Reads safetensors files where they lie: a tensor is looked at through the page cache, never
loaded as a whole.

The `safetensors` package cannot give bfloat16 to numpy, and torch is a large thing to install for
reading files. The format is eight bytes of length, a JSON head, and the numbers
(huggingface/safetensors, README). Everything in the head is held against the file.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from finops_cli.errors import UsageError

_LENGTH_BYTES = 8
_LONGEST_HEAD = 100 * 1024 * 1024
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _Entry(Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class Tensor(NamedTuple):
    """A tensor in a file: where it lies, its type (`F32`, `F16`, `BF16`; others cannot be read) and
    shape, slowest dimension first.
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    at: int

    def stored(self) -> Any:
        """A view into the file, of any rows of which `as_float32` makes numbers.

        Raises UsageError for a type that is not read here.
        """
        if self.dtype not in _NUMPY:
            raise UsageError(
                f"{self.path}: {self.name} is stored as {self.dtype}",
                "give weights of 16 or 32 bits, not quantized ones",
            )
        return np.memmap(self.path, _NUMPY[self.dtype], "r", self.at, self.shape or (1,))

    def as_float32(self, rows: Any) -> Any:
        """`rows` of `stored()` as float32, in memory of their own."""
        if self.dtype == "BF16":  # the upper half of a float32
            return (rows.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return rows.astype(np.float32)


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of the file at `path` by name.

    Raises UsageError for a file that is damaged or of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 0 < length <= min(size - _LENGTH_BYTES, _LONGEST_HEAD):
            raise UsageError(
                f"{path}: is no safetensors file, or not all of one", "fetch or save it again"
            )
        head = file.read(length)
    try:
        entries: dict[str, msgspec.Raw] = msgspec.json.decode(head, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        found = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in entries.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path}: its head cannot be read ({error})", "fetch or save it again"
        ) from error
    start = _LENGTH_BYTES + length
    return {name: _tensor(path, name, entry, start, size) for name, entry in found.items()}


def _tensor(path: Path, name: str, entry: _Entry, start: int, size: int) -> Tensor:
    begin, end = entry.data_offsets
    if not 0 <= begin <= end <= size - start:
        raise UsageError(
            f"{path}: {name} lies outside the file, which was cut", "fetch or save it again"
        )
    width = _WIDTHS.get(entry.dtype)
    if width is not None and (
        min(entry.shape, default=1) < 1 or math.prod(entry.shape) * width != end - begin
    ):
        raise UsageError(
            f"{path}: {name} takes {end - begin:,} bytes, but its shape {entry.shape} says"
            " otherwise"
        )
    return Tensor(path, name, entry.dtype, entry.shape, start + begin)
