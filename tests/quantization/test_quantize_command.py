"""What `finops quantize` says to a call that cannot be carried out: it needs no model, and nothing
but the package, to say it.
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


def says(finops: Finops, folder: Path, code: int, text: str, *arguments: object) -> None:
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
def test_calls_that_contradict_themselves(
    arguments: tuple[str, ...], text: str, tmp_path: Path, finops: Finops
) -> None:
    says(finops, tmp_path, 2, text, *arguments)


def test_a_folder_that_is_not_there(tmp_path: Path, finops: Finops) -> None:
    done = finops("quantize", "--stage", "triage", "--base", tmp_path, "-o", tmp_path / "absent")
    assert (done.returncode, b"no such folder\nfix: make it" in done.stderr) == (2, True)


def test_a_name_that_is_taken_by_a_folder(tmp_path: Path, finops: Finops) -> None:
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
def test_without_llama_cpp_the_cure_is_named(tmp_path: Path, finops: Finops) -> None:
    """Before anything is read or written; to convert without quantizing or trying it is not
    needed.
    """
    says(finops, tmp_path, 3, extras.cure("export", "llama"), "--base", EXAMPLES, "--no-check")
    says(finops, tmp_path, 3, extras.cure("llama"), "--base", EXAMPLES, "--type", "f16")
    says(
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
def test_rows_that_are_no_held_out_ones(tmp_path: Path, finops: Finops) -> None:
    """Absent, empty, of another set, something else: the way to make them is named, or the line."""
    (tmp_path / "out").mkdir()
    for text, told in (
        (None, "`finops generate --stage triage`"),
        ("", "holds no rows"),
        ("{}\n", "line 1 is not a row of a generated set"),
        ((EXAMPLES / "monday.jsonl").read_text(), "line 1 is not a row"),
    ):
        file = tmp_path / "rows.jsonl"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        says(finops, tmp_path / "out", 2, told, "--base", EXAMPLES, "--eval", file)
    made = finops("generate", "--stage", "triage", "-n", "20", "-o", tmp_path, "-q")
    assert made.returncode in (0, 1)
    few = ("--base", EXAMPLES, "--eval", tmp_path / "triage-eval.jsonl", "--rows", 21)
    says(finops, tmp_path / "out", 2, "but --rows asks for 21", *few)
    says(
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
def test_files_that_are_no_models(
    content: bytes | None, text: str, tmp_path: Path, finops: Finops
) -> None:
    """A head that does not say of what type the file is, too."""
    (tmp_path / "out").mkdir()
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    says(finops, tmp_path / "out", 2, text, "--gguf", tmp_path / "model.gguf", "--no-check")
