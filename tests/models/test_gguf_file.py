"""Files that are given in place of a model: each is refused with its fix."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.models.gguf import read_head
from finops_cli.models.gguf_file import refuse_unusable_gguf
from tests.support.tiny_gguf import GGUF_HEAD, write_tiny_gguf

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


def head(pairs: int, kind: int, value: bytes) -> bytes:
    """A file with one pair, whose value has the type `kind`."""
    return struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, pairs, 1, b"a", kind) + value


def tensor(kind: int) -> bytes:
    """A file with one tensor of the type `kind`, and a byte behind its head."""
    return struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"a", 1, 1, kind, 0) + bytes(64)


@pytest.mark.parametrize(
    ("content", "message", "cure"),
    [
        (b"", "is empty (0 bytes)", "download the file again"),
        (LFS, "is a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page", "download the file itself"),
        (b"\xef\xbb\xbf\n <HTML>", "is a web page", "download the file itself"),
        (b'<?xml version="1.0"?><Error>', "is a web page", "download the file itself"),
        (b'{"error":"Repository not found"}', "is JSON", "download the file again"),
        (b"PK\x03\x04", "is a ZIP archive", "convert the model to GGUF"),
        (b"\x1f\x8b\x08", "is packed with gzip", "gunzip"),
        (b"\x28\xb5\x2f\xfd", "is packed with zstd", "unzstd"),
        (b"\x90\0\0\0\0\0\0\0" + b'{"a":1}', "is a safetensors file", "convert the model"),
        (b"tjgg\1\0\0\0", "is in a format before GGUF", "convert the model to GGUF"),
        (b"\0" * 4096, "is not a GGUF file: it begins with b'", "convert the model to GGUF"),
        (b"GGUF", "head of the file is cut off", "download the file again"),
        (GGUF_HEAD[:-1], "head of the file is cut off", "download the file again"),
        (b"GGUF\1\0\0\0", "is GGUF version 1; accepted: 2, 3", "convert the model again"),
        (b"GGUF\0\0\0\3", "big-endian", "for this machine"),
        (b"GGUF\3\0\0\0" + b"\xff" * 16, "cut off or damaged", "download the file again"),
        (
            head(1, 99, b""),
            "a value of type 99, which GGUF does not have",
            "download the file again",
        ),
        (head(1, 9, struct.pack("<IQ", 9, 1)), "an array of arrays", "download the file again"),
        (
            head(1, 9, struct.pack("<IQ", 0, 2**40)),
            "an array of 1,099,511,627,776 entries",
            "again",
        ),
        (head(1, 8, struct.pack("<Q", 2**40)), "cut off or damaged", "download the file again"),
        (tensor(4), "has type 4, which ggml does not have", "download the file again"),
        (tensor(2**31), "has type 2147483648, which ggml does not", "download the file again"),
    ],
)
def test_file_of_another_kind_is_refused_with_its_fix(
    content: bytes, message: str, cure: str, tmp_path: Path
) -> None:
    """An empty file, a pointer, a page, an archive and other formats each have a message and a
    fix.
    """
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        refuse_unusable_gguf(file)
    assert message in str(raised.value)
    assert raised.value.cure is not None
    assert cure in raised.value.cure


def test_gguf_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """A whole file is accepted. Cut at any place, in its head or in its last tensor, it is not."""
    file = write_tiny_gguf(tmp_path / "model.gguf")
    refuse_unusable_gguf(file)
    whole = file.read_bytes()
    begin = min(tensor.at for tensor in read_head(file).tensors.values())
    last = max(tensor.at for tensor in read_head(file).tensors.values())
    for size in (5, 20, 100, begin // 2, begin - 40, begin, begin + 1, last, last + 1):
        file.write_bytes(whole[:size])
        with pytest.raises(UsageError, match="cut off") as raised:
            refuse_unusable_gguf(file)
        assert raised.value.cure is not None
    file.write_bytes(whole[:-64])
    with pytest.raises(UsageError, match="is cut off: it has"):
        refuse_unusable_gguf(file)


def test_bundled_gguf_files_are_whole() -> None:
    """The model files of the repository are accepted: their tensors end at the end of the file."""
    for name in ("tiny-triage", "tiny-resolver"):
        refuse_unusable_gguf(Path("training/continue") / f"{name}.gguf")
