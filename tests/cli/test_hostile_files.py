"""Devices and endless files for each option that takes a file: one clear error in bounded time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir
from tests.support.program import EXAMPLES, Finops

MONDAY, EXPECTED = EXAMPLES / "monday.jsonl", EXAMPLES / "monday.expected.jsonl"
TABLE = EXAMPLES / "csv/blotter.csv"
SETTINGS = {
    "map": ("import", "csv", TABLE, "--map"),
    "calendar": ("clock", MONDAY, "--as-of", "2026-11-30", "--calendar"),
    "modelfile": ("create", "--stage", "triage", "--dry-run", "--modelfile"),
    "gguf": ("create", "--stage", "triage", "--dry-run", "--gguf"),
    "recipe": ("train", "--stage", "triage", "--dry-run", "--config"),
    "hooks": ("run", MONDAY, "--backend", "engine", "--hooks"),
    "hooks of drift": ("drift", EXPECTED, "--baseline", EXPECTED, "--hooks"),
}
RECORDS = {
    "inventory": ("run", MONDAY, "--backend", "engine", "--inventory"),
    "history": ("clock", MONDAY, "--as-of", "2026-11-30", "--history"),
    "events": ("clock", MONDAY, "--as-of", "2026-11-30", "--events"),
    "phrasebank": ("generate", "--stage", "sentiment", "--guard", "off", "--phrasebank"),
    "fails": ("check", EXPECTED, "--fails"),
    "since": ("list", EXPECTED, "--since"),
    "baseline": ("drift", EXPECTED, "--baseline"),
    "sent": ("book", MONDAY, "--sent"),
    "run": ("run", "--backend", "engine"),
    "check": ("check",),
    "list": ("list",),
    "net": ("net",),
}
CONTENTS = {
    "UTF-16": "a: 1\ncolumns: {qty: Q}\n".encode("utf-16"),
    "Latin-1": 'a = "caf\u00e9"\n'.encode("latin-1"),
    "NUL": b"a: 1\0\n",
    "deep list": b"[" * 20_000,
    "deep table": b"x = " + b"[" * 20_000,
    "deep object": b'{"a":' * 20_000,
    "aliases": b"a0: &a0 [x,x]\n"
    + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (i + 1, i + 1, i, i) for i in range(40)),
    "binary": bytes(range(256)) * 64,
}


@pytest.mark.parametrize("name", {**SETTINGS, **RECORDS})
def test_device_without_an_end_is_refused(name: str, finops: Finops, tmp_path: Path) -> None:
    """/dev/zero ends no command in memory or time: it is refused by name."""
    done = finops(*{**SETTINGS, **RECORDS}[name], "/dev/zero")
    assert done.returncode == 2
    assert b"/dev/zero: is a device that never ends\nfix: " in done.stderr


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_another_kind_are_refused(
    name: str, content: str, finops: Finops, tmp_path: Path
) -> None:
    """A mapping, calendar, Modelfile, model, recipe or token file in another encoding, nested too
    deeply or binary ends with 2 and one error that names it.
    """
    path = tmp_path / "hostile"
    path.write_bytes(CONTENTS[content])
    done = finops(*SETTINGS[name], path)
    errors = done.stderr.decode()
    assert done.returncode == 2, errors
    assert str(path) in errors
    assert errors.count("fix: ") == 1
    assert "Traceback" not in errors
    assert "has a fault" not in errors
    assert len(errors) < 1500


@pytest.mark.parametrize("content", CONTENTS)
def test_rules_of_another_kind_are_refused(content: str, finops: Finops, tmp_path: Path) -> None:
    """A knowledge base with a file in another encoding, nested too deeply or binary ends with 2 and
    one error that names the file.
    """
    kb = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    (kb / "book.toml").write_bytes(CONTENTS[content])
    done = finops("--kb", kb, "kb", "list")
    errors = done.stderr.decode()
    assert done.returncode == 2, errors
    assert "book.toml" in errors
    assert errors.count("fix: ") == 1
    assert "Traceback" not in errors
    assert len(errors) < 1500


@pytest.mark.parametrize("content", CONTENTS)
def test_tokens_of_another_kind_are_refused(content: str, finops: Finops, tmp_path: Path) -> None:
    """A file of tokens in another encoding, nested too deeply or binary starts no service."""
    pytest.importorskip("fastapi")
    path = tmp_path / "tokens.toml"
    path.write_bytes(CONTENTS[content])
    path.chmod(0o600)
    done = finops("serve", "--port", "0", "--data", tmp_path / "data", "--tokens", path)
    errors = done.stderr.decode()
    assert done.returncode == 2, errors
    assert str(path) in errors
    assert errors.count("fix: ") == 1
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", RECORDS)
def test_records_of_another_kind_end_no_command(
    name: str, content: str, finops: Finops, tmp_path: Path
) -> None:
    """A file of records in another encoding, nested or binary is refused, or each of its lines is:
    it is never a fault of finops.
    """
    path = tmp_path / "hostile"
    path.write_bytes(CONTENTS[content])
    where = ("-o", tmp_path / "data") if name == "phrasebank" else ()
    done = finops(*RECORDS[name], path, *where)
    assert done.returncode in (0, 1, 2), done.stderr
    assert b"has a fault" not in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--help", "run --help", "--version", "kb list"])
def test_full_disk_behind_stdout_is_one_error(words: str) -> None:
    """A text that cannot be written ends with 2 and one error, also that of --help."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "finops_cli", *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "finops: stdout: No space left on device",
        "fix: free some space",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", MONDAY, "--backend", "engine", "--inventory"),
        ("run", MONDAY, "--backend", "engine", "--counterparty-history"),
        ("run", MONDAY, "--backend", "llama-cpp", "--triage-gguf"),
        ("evaluate", "--stage", "triage", "--backend", "engine", "--data"),
        ("book", MONDAY, "--sent"),
    ],
)
def test_pipe_is_refused_where_a_file_is_read_again(
    arguments: tuple[object, ...], finops: Finops, tmp_path: Path
) -> None:
    """A pipe in place of a file whose digest is taken too is refused: nobody waits for a writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = finops(*arguments, pipe)
    assert done.returncode == 2
    assert b"is a pipe, and this file is read more than once\nfix: " in done.stderr
