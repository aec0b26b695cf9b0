"""Reads safetensors files in place: a tensor is mapped into memory, never loaded as a whole.

The `safetensors` package cannot give bfloat16 to numpy, and torch is large to install for reading
files. The format is eight bytes of length, a JSON head, and the numbers. The head is checked
against the size of the file.

Source: huggingface/safetensors, README.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LENGTH_BYTES = 8
_LONGEST_HEAD = 100 * 1024 * 1024
_MOST_DIMENSIONS = 8
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
_NUMPY = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _Entry(Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class Tensor(NamedTuple):
    """A tensor in a file."""

    path: Path
    name: str
    dtype: str
    """F32, F16 or BF16; other types cannot be read."""
    shape: tuple[int, ...]
    """The slowest dimension first."""
    offset: int

    def stored(self) -> NDArray[Any]:
        """Map the stored numbers; `as_float32` converts any rows of them.

        Raises UsageError for a type that cannot be read.
        """
        import numpy as np

        if self.dtype not in _NUMPY:
            raise UsageError(
                f"{self.path}: {self.name} is stored as {self.dtype}. Expected weights of 16 or 32"
                " bits, not quantized."
            )
        return np.memmap(self.path, _NUMPY[self.dtype], "r", self.offset, self.shape or (1,))

    def as_float32(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Convert rows of `stored()` to float32, in memory of their own. Shape: that of `rows`."""
        import numpy as np

        if self.dtype == "BF16":  # the upper half of a float32
            return (rows.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return rows.astype(np.float32)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the table of tensors of a file, by name.

    Raises UsageError for a damaged file or another format.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 0 < length <= min(size - _LENGTH_BYTES, _LONGEST_HEAD):
            raise UsageError(
                f"{path} is not a complete safetensors file", "download or save it again"
            )
        head = file.read(length)
    try:
        entries: dict[str, msgspec.Raw] = msgspec.json.decode(head, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        found = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in entries.items()}
    except UNREADABLE as error:
        raise UsageError(
            f"{path}: its head cannot be read ({error})", "download or save it again"
        ) from error
    start = _LENGTH_BYTES + length
    return {name: _check_entry(path, name, entry, start, size) for name, entry in found.items()}


def _check_entry(path: Path, name: str, entry: _Entry, start: int, size: int) -> Tensor:
    begin, end = entry.data_offsets
    shown, shape = name[: limits.SHOWN_CHARS], str(entry.shape)[: limits.SHOWN_CHARS]
    if len(entry.shape) > _MOST_DIMENSIONS:
        raise UsageError(
            f"{path}: {shown} has {len(entry.shape):,} dimensions. Expected at most"
            f" {_MOST_DIMENSIONS}.",
            "download or copy the file again",
        )
    if not 0 <= begin <= end <= size - start:
        raise UsageError(
            f"{path}: {shown} is outside the file, which is truncated", "download or save it again"
        )
    width = _WIDTHS.get(entry.dtype)
    if width is not None and (
        min(entry.shape, default=1) < 1 or math.prod(entry.shape) * width != end - begin
    ):
        raise UsageError(
            f"{path}: {shown} has {end - begin:,} bytes, which does not fit its shape {shape}",
            "download or copy the file again",
        )
    return Tensor(path=path, name=name, dtype=entry.dtype, shape=entry.shape, offset=start + begin)
