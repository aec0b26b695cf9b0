"""The command `finops quantize` with impossible options: it needs neither a model nor an extra to
refuse them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from finops_cli import extras
from tests.support.program import EXAMPLES, Finops
from tests.support.tiny_gguf import GGUF_HEAD

BARE = pytest.mark.skipif(
    find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed"
)
WHOLE = pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("llguidance") is None,
    reason="needs the extra llama",
)


def expect_message(finops: Finops, folder: Path, code: int, text: str, *arguments: object) -> None:
    done = finops("quantize", "--stage", "triage", "-o", folder, *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert text in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give either --base DIR"),
        (("--base", "a", "--gguf", "b"), "give either --base DIR"),
        (("--gguf", "a", "--adapter", "b"), "--adapter needs --base"),
        (("--base", "a", "--type", "f16", "--type", "f32"), "give at most one of"),
        (("--gguf", "a", "--type", "f16"), "--type q8_0 or q4_k_m"),
        (
            ("--gguf", "a", "--type", "f32", "--type", "q8_0"),
            "can only be quantized",
        ),  # it would move the user's own file
        (("--base", "a", "--name", "a/b"), "is not a file name"),
        (("--base", "a", "--name", ".."), "is not a file name"),
        (("--base", "a", "--name", "a\x1b[31m"), r"--name a\x1b[31m is not a file name"),
        (("--base", "a", "--name", "a" * 300), "give another --name"),
        (("--base", "a", "--type", "q2_k"), "q2_k"),
        (("--base", "a", "--rows", "0"), "rows"),
    ],
)
def test_quantize_refuses_contradictory_options(
    arguments: tuple[str, ...], text: str, tmp_path: Path, finops: Finops
) -> None:
    """Options that contradict each other end with exit 2 and a message."""
    expect_message(finops, tmp_path, 2, text, *arguments)


def test_quantize_makes_its_folder_and_leaves_no_empty_one(tmp_path: Path, finops: Finops) -> None:
    """An output folder that does not exist is made; where the base cannot be used, it is gone
    again. A file in its place is refused.
    """
    call = ("quantize", "--stage", "triage", "--base", tmp_path, "--type", "f16", "--no-check")
    done = finops(*call, "-o", tmp_path / "far" / "away")
    assert (done.returncode, b"config.json: no such file" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "far" / "away").exists()
    file = tmp_path / "file"
    file.touch()
    done = finops(*call, "-o", file)
    assert (done.returncode, b"is a file" in done.stderr) == (2, True)


def test_quantize_refuses_an_output_name_of_a_folder(tmp_path: Path, finops: Finops) -> None:
    """An output name that is a folder ends with exit 2."""
    (tmp_path / "a-q8_0.gguf").mkdir()
    done = finops(
        "quantize",
        "--stage",
        "triage",
        "--base",
        EXAMPLES,
        "-o",
        tmp_path,
        "--name",
        "a",
        "--type",
        "q8_0",
    )
    assert (done.returncode, b"a-q8_0.gguf is not a file" in done.stderr) == (2, True)


@BARE
def test_quantize_without_llama_cpp_names_the_fix(tmp_path: Path, finops: Finops) -> None:
    """Without llama.cpp the command names the fix before it reads anything. A conversion without a
    test does not need it.
    """
    expect_message(
        finops, tmp_path, 3, extras.cure("export", "llama"), "--base", EXAMPLES, "--no-check"
    )
    expect_message(finops, tmp_path, 3, extras.cure("llama"), "--base", EXAMPLES, "--type", "f16")
    expect_message(
        finops,
        tmp_path,
        2,
        "config.json: no such file",
        "--base",
        EXAMPLES,
        "--type",
        "f16",
        "--no-check",
    )


@WHOLE
def test_quantize_refuses_rows_that_are_not_held_out(tmp_path: Path, finops: Finops) -> None:
    """Missing, empty, training or unrelated rows are refused with the line, or with the command
    that makes them.
    """
    (tmp_path / "out").mkdir()
    for text, message in (
        (None, "`finops generate --stage triage`"),
        ("", "has no rows"),
        ("{}\n", "line 1 is not a row of a generated set"),
        ((EXAMPLES / "monday.jsonl").read_text(), "line 1 is not a row"),
    ):
        file = tmp_path / "rows.jsonl"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        expect_message(finops, tmp_path / "out", 2, message, "--base", EXAMPLES, "--eval", file)
    made = finops("generate", "--stage", "triage", "-n", "20", "-o", tmp_path, "-q")
    assert made.returncode in (0, 1)
    few = ("--base", EXAMPLES, "--eval", tmp_path / "triage-eval.jsonl", "--rows", 21)
    expect_message(finops, tmp_path / "out", 2, "but --rows asks for 21", *few)
    expect_message(
        finops,
        tmp_path / "out",
        2,
        "a triage row of the train split",
        "--base",
        EXAMPLES,
        "--eval",
        tmp_path / "triage-train.jsonl",
    )


@WHOLE
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no such GGUF file"),
        (b"PK\3\4" + bytes(40), "is not a GGUF file"),
        (GGUF_HEAD, "general.file_type"),
    ],
)
def test_quantize_refuses_a_file_without_a_gguf_type(
    content: bytes | None, text: str, tmp_path: Path, finops: Finops
) -> None:
    """A missing file, another format and a head without a file type are refused."""
    (tmp_path / "out").mkdir()
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    expect_message(
        finops, tmp_path / "out", 2, text, "--gguf", tmp_path / "model.gguf", "--no-check"
    )
