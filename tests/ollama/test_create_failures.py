"""`finops create` when the server fails: nothing but its last word "success" is success."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support.canned_server import Canned
from tests.support.program import Finops
from tests.support.tiny_gguf import GGUF_HEAD

DIGEST = f"sha256:{hashlib.sha256(GGUF_HEAD).hexdigest()}"


def making(lines: bytes, torn: bool = False) -> Canned:
    """A server that has every file, and answers the request to create so."""
    show = {"details": {}, "model_info": {}}
    tags = {"models": [{"model": "finops-triage:latest", "digest": "0" * 64}]}
    answers = {
        f"HEAD /api/blobs/{DIGEST}": 200,
        "POST /api/create": lines,
        "POST /api/show": show,
        "GET /api/tags": tags,
    }
    return Canned(answers, torn=("POST /api/create",) if torn else ())


@pytest.mark.parametrize(
    ("lines", "torn", "says"),
    [
        (
            b'{"status":"parsing GGUF"}\n{"error":"no space left on device"}\n',
            False,
            "no space left on device",
        ),
        (b'{"status":"success"}\n{"error":"late"}\n', False, "late"),
        (
            b'{"status":"parsing GGUF"}\n{"status":"writing manifest"}\n',
            False,
            "without the word that the model is made",
        ),
        (b"", False, "without the word that the model is made"),
        (b'{"status":"parsing GGUF"}\n{"stat', False, "torn"),
        (b'{"status":"success"}\n', True, "the connection broke"),
        (b'["success"]\n', False, "could not make the model"),
        (b'{"error":"disk full","status":"success"}\n', False, "disk full"),
    ],
)
def test_only_success_is_success(
    lines: bytes, torn: bool, says: str, gguf: Path, finops: Finops
) -> None:
    """An error line, a torn stream, and an end without the word are failures, even where a model of
    that name is there from before.
    """
    with making(lines, torn) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    assert (done.returncode, says in done.stderr.decode(), done.stdout) == (
        2,
        True,
        b"",
    ), done.stderr


def test_a_file_is_sent_with_its_length(gguf: Path, finops: Finops) -> None:
    """A proxy or a server that wants to know how much is coming is told; a refusal of the file ends
    the command.
    """
    answers = {f"HEAD /api/blobs/{DIGEST}": 404, f"POST /api/blobs/{DIGEST}": 400}
    with Canned(answers) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
        assert server.received[f"POST /api/blobs/{DIGEST}"] == GGUF_HEAD
        assert "POST /api/create" not in server.asked
    assert (done.returncode, b"answered 400" in done.stderr) == (2, True)


def test_success_without_a_newline_at_the_end_counts(gguf: Path, finops: Finops) -> None:
    with making(b'{"status":"success"}') as server:
        assert (
            finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url).returncode
            == 0
        )


def test_an_error_of_the_servers_stream_is_a_failure(gguf: Path, finops: Finops) -> None:
    """A file that only begins like GGUF passes the first look; the server's word counts."""
    gguf.write_bytes(b"GGUF\x03")
    with FakeOllama(models=[]) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
        assert server.models.get("finops-triage") is None
    assert (done.returncode, b"not in GGUF format" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_file_whose_name_is_no_utf8_is_refused(
    more: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    """JSON cannot hold it, neither in the request nor in what is told of it; the same for a folder
    on the way and for --name.
    """
    bad = os.fsdecode(b"\xff")
    (tmp_path / bad).mkdir()
    files = [tmp_path / f"{bad}.gguf", tmp_path / bad / "tiny.gguf"]
    for file in files:
        file.write_bytes(GGUF_HEAD)
    with Canned({}) as server:
        orders = [*(("--gguf", file) for file in files), ("--name", bad)]
        done = [
            finops("create", "--stage", "triage", "--host", server.url, *order, *more)
            for order in orders
        ]
        assert server.asked == []
    assert [(one.returncode, b"is not UTF-8" in one.stderr) for one in done] == [(2, True)] * 3, (
        done
    )


def test_the_home_of_nobody_is_refused(tmp_path: Path, finops: Finops) -> None:
    (tmp_path / "M").write_text("FROM ~no-such-user/x.gguf\n")
    done = finops("create", "--stage", "triage", "--modelfile", tmp_path / "M", "--dry-run")
    assert (
        done.returncode,
        b"FROM ~no-such-user/x.gguf" in done.stderr,
        b"Traceback" in done.stderr,
    ) == (2, True, False)
