"""Refuse a file that is not a whole GGUF file, before it is sent or loaded.

Downloads end in the middle, give a web page instead of the file, or a pointer of Git LFS. The size
of each tensor is known from the head, so a file that was cut is recognised without reading it all.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.models.gguf import MAGIC, Head, NotGguf, Placed, read_head

_BEGINNING = 1024
"""Bytes by which other formats are recognised."""
_VERSIONS = (2, 3)
_AGAIN = "download the file again, or make it again with `finops quantize`"
_CONVERT = "convert the model to GGUF with llama.cpp or `finops quantize` first"


class _Kind(NamedTuple):
    """A kind of file that is given in place of a model."""

    prefixes: tuple[bytes, ...]
    """In lower case, without white space before them."""
    message: str
    cure: str


_KINDS = (
    _Kind(
        (b"version https://git-lfs",),
        "is a pointer of Git LFS, not the file itself",
        "fetch it with `git lfs pull`",
    ),
    _Kind(
        (b"<!doctype", b"<html", b"<?xml", b"<!--", b"<head"),
        "is a web page, not a model: the server sent a page instead of the file",
        "download the file itself; a site that asks for a login needs its token (Hugging Face:"
        " `hf download REPOSITORY FILE`)",
    ),
    _Kind((b"{", b"["), "is JSON, perhaps the error message of a download", _AGAIN),
    _Kind((b"pk\x03\x04",), "is a ZIP archive, perhaps of PyTorch, not with GGUF", _CONVERT),
    _Kind((b"\x1f\x8b",), "is packed with gzip", "unpack it with `gunzip` first"),
    _Kind((b"\x28\xb5\x2f\xfd",), "is packed with zstd", "unpack it with `unzstd` first"),
    _Kind((b"ggml", b"ggjt", b"tjgg", b"ggla"), "is in a format before GGUF", _CONVERT),
)
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
    41: (128, 18),
    42: (64, 18),
}
"""By ggml's number of a type: the numbers in a block, and its bytes. Source: ggml's type traits."""
_GONE = (4, 5, 31, 32, 33, 36, 37, 38)
"""Types that ggml had once. Its numbers only grow, so a larger one may be newer than this list."""
_MOST_TYPE = 127


def refuse_unusable_gguf(path: Path) -> None:
    """Raise UsageError, with the fix, for a file at `path` that is not a whole GGUF file.

    A file of another kind, an empty one, a damaged head and a file that was cut are refused.
    """
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if not beginning:
        raise UsageError(f"{path}: is empty (0 bytes), not with GGUF in it", _AGAIN)
    if not beginning.startswith(MAGIC):
        _refuse_other_kind(path, beginning)
    _refuse_other_version(path, beginning)
    try:
        head = read_head(path)
    except (NotGguf, MemoryError, OverflowError) as error:
        raise UsageError(
            f"{path}: the head of the file is cut off or damaged ({error})", _AGAIN
        ) from error
    for name, tensor in head.tensors.items():
        if tensor.kind in _GONE or tensor.kind > _MOST_TYPE:
            raise UsageError(
                f"{path}: tensor {name[: limits.SHOWN_CHARS]} has type {tensor.kind}, which ggml"
                " does not have",
                _AGAIN,
            )
    size, needed = path.stat().st_size, _needed_bytes(head)
    if size < needed:
        raise UsageError(
            f"{path}: is cut off: it has {size:,} bytes, and its tensors end at {needed:,}", _AGAIN
        )


def _refuse_other_kind(path: Path, beginning: bytes) -> None:
    """Raise UsageError for a file that does not begin with the magic of GGUF."""
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for kind in _KINDS:
        if text.startswith(kind.prefixes):
            raise UsageError(f"{path}: {kind.message}", kind.cure)
    if beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") < 2**40:
        raise UsageError(f"{path}: is a safetensors file, not with GGUF", _CONVERT)
    raise UsageError(f"{path}: is not a GGUF file: it begins with {beginning[:4]!r}", _CONVERT)


def _refuse_other_version(path: Path, beginning: bytes) -> None:
    """Raise UsageError for a version of GGUF that Ollama and llama.cpp do not read."""
    version = int.from_bytes(beginning[4:8], "little")
    if len(beginning) < 8 or version in _VERSIONS:
        return
    if version and version & 0xFFFF == 0:
        raise UsageError(
            f"{path}: is a GGUF file for big-endian machines",
            "convert the model again for this machine",
        )
    raise UsageError(
        f"{path}: is GGUF version {version:,}; accepted: 2, 3",
        "convert the model again with the current llama.cpp",
    )


def _needed_bytes(head: Head) -> int:
    """Return the size in bytes up to the end of the last tensor."""
    return max((_end(tensor) for tensor in head.tensors.values()), default=0)


def _end(tensor: Placed) -> int:
    """Return the place behind a tensor. Of an unknown type only its beginning is certain."""
    numbers, size = _BLOCKS.get(tensor.kind, (1, 0))
    return tensor.at + prod(tensor.shape) * size // numbers
