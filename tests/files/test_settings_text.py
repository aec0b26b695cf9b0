"""Files of settings that are none: devices, pipes, folders, other encodings, texts that grow."""

from __future__ import annotations

import os
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.settings_text import decode_settings, parse_toml, read_settings
from finops_cli.files.user_files import read_yaml
from tests.support.call_counts import count_calls


def make_bomb(levels: int, line: str) -> str:
    """Return YAML whose last alias stands for two to the power of `levels` values."""
    return "a0: &a0 {x: 1}\n" + "".join(line.format(i, i + 1) for i in range(levels))


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_device_without_an_end_is_read_up_to_the_limit(device: str) -> None:
    """Of a device only `limits.SETTINGS_BYTES` are read."""
    with pytest.raises(UsageError, match="has more than 1,048,576 bytes"):
        read_settings(Path(device))


def test_pipe_without_a_writer_is_refused(tmp_path: Path) -> None:
    """A pipe that nobody writes is an error after a while, not a command that hangs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="its writer did not close it within"):
        read_settings(pipe, wait_s=0.01)


def test_pipe_with_a_writer_is_read_to_its_end(tmp_path: Path) -> None:
    """A pipe of a shell, `--map <(program)`, is read like a file."""
    pipe, content = tmp_path / "pipe", b"a: 1\n" * 30_000
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert read_settings(pipe) == content
    writer.join()


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    """Each names the path and what to give."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="cannot be read") as refused:
            read_settings(path)
        assert str(path) in str(refused.value)
        assert refused.value.cure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1".encode("utf-16"), "is UTF-16, not UTF-8"),
        ("a: 1".encode("utf-32"), "is UTF-16, not UTF-8"),
        ("a: 1".encode("utf-16-le"), "has a NUL byte at 1"),
        ("a: \u00e9".encode("latin-1"), "byte 0xE9 at 3 is not UTF-8"),
        (b"a: 1\0", "has a NUL byte at 4"),
    ],
)
def test_other_encoding_is_named(content: bytes, message: str) -> None:
    """A text that is not UTF-8 is refused by its encoding, or by its first foreign byte."""
    with pytest.raises(UsageError, match=message) as refused:
        decode_settings(Path("desk.toml"), content)
    assert refused.value.cure


def test_byte_order_mark_of_utf8_is_dropped() -> None:
    """An editor may write the mark; it is no part of the text."""
    assert decode_settings(Path("desk.toml"), b"\xef\xbb\xbfa = 1") == "a = 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".".join("a" * (limits.TOML_LINE_DOTS + 2)) + " = 1", "line 1 has more than 500 full"),
        ("a = 1\nb." + "c." * limits.TOML_LINE_DOTS + "d = 1", "line 2 has more than 500 full"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = " + "9" * 100_000, "a number in it has thousands of digits"),
        ("x = " + "{a = " * 100_000, "nested too deeply"),
    ],
)
def test_toml_that_costs_more_than_its_size_is_refused(text: str, message: str) -> None:
    """A long dotted key costs the square of its parts, and nesting the stack of the program."""
    with pytest.raises(ValueError, match=message):
        parse_toml(text)


def test_number_out_of_range_is_refused() -> None:
    """Exact decimals have a largest exponent; a number beyond it is named as the fault."""
    with pytest.raises(ValueError, match="exponent of a number"):
        parse_toml("x = 1e99999999999999999999", parse_float=Decimal)


@pytest.mark.parametrize("all_text", [True, False])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (make_bomb(30, "a{1}: &a{1} [*a{0}, *a{0}]\n"), "more than 100,000 values"),
        (make_bomb(30, "a{1}: &a{1}\n  <<: [*a{0}, *a{0}]\n"), "more than 100,000 values"),
        ("a: &a [*a]\n", "an alias repeats a value that contains the alias"),
        ("[" * 5_000, "nested too deeply"),
        ("{a: " * 5_000, "nested too deeply"),
        ("a: 1\n" * 2, "a is given twice; keep one"),
    ],
)
def test_yaml_that_costs_more_than_its_size_is_refused(
    text: str, message: str, all_text: bool, tmp_path: Path
) -> None:
    """Aliases count as what they stand for: a few lines may stand for more than any memory."""
    path = tmp_path / "desk.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_yaml(path, all_text)


def test_yaml_brackets_are_not_read_to_their_end(tmp_path: Path) -> None:
    """Fifty times the open brackets take no more calls: the reader ends at the deepest level."""

    def read(count: int) -> None:
        path = tmp_path / f"{count}.yaml"
        path.write_text("[" * count)
        with pytest.raises(UsageError, match="nested too deeply"):
            read_yaml(path)

    few, many = (count_calls(lambda n=n: read(n)) for n in (100, 5_000))  # type: ignore[misc]
    assert many < 2 * few


def test_yaml_alias_of_a_small_value_is_read(tmp_path: Path) -> None:
    """An anchor that is used as people use it stays allowed."""
    path = tmp_path / "desk.yaml"
    path.write_text("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n")
    assert read_yaml(path) == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
