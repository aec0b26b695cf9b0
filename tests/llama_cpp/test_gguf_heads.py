"""Heads of GGUF files: an incomplete or nested head is refused with a message."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from finops_cli.models.gguf import NotGguf, gguf_pairs

_STRING, _ARRAY = 8, 9


def head(kind: int, value: bytes) -> bytes:
    """A head of one pair, `a`."""
    return (
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", 1)
        + b"a"
        + struct.pack("<I", kind)
        + value
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (head(_STRING, struct.pack("<Q", 1000) + b"short"), "unexpected EOF"),
        (head(_STRING, struct.pack("<Q", 2**63)), "unexpected EOF"),
        (head(_ARRAY, struct.pack("<IQ", _ARRAY, 1) * 5000), "array of arrays"),
        (head(_ARRAY, struct.pack("<IQ", _STRING, 2**62)), "an array of 4,611,686"),
        (head(99, b""), "a value of type 99"),
    ],
)
def test_gguf_head_that_is_incomplete_or_nested_is_refused(
    content: bytes, words: str, tmp_path: Path
) -> None:
    """A GGUF head that ends early, has impossible lengths or nests arrays raises NotGguf."""
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(NotGguf, match=words):
        list(gguf_pairs(tmp_path / "model.gguf"))
