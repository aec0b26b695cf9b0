"""The command `finops create` when the server fails: only the final status "success" counts as
success.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer
from tests.support.program import Finops
from tests.support.tiny_gguf import GGUF_HEAD

DIGEST = f"sha256:{hashlib.sha256(GGUF_HEAD).hexdigest()}"


def canned_create(lines: bytes, torn: bool = False) -> CannedServer:
    """A server that has every file and answers the create request with `lines`."""
    show = {"details": {}, "model_info": {}}
    tags = {"models": [{"model": "finops-triage:latest", "digest": "0" * 64}]}
    answers = {
        f"HEAD /api/blobs/{DIGEST}": 200,
        "POST /api/create": lines,
        "POST /api/show": show,
        "GET /api/tags": tags,
    }
    return CannedServer(answers, torn=("POST /api/create",) if torn else ())


@pytest.mark.parametrize(
    ("lines", "torn", "message"),
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
            "without the status `success`",
        ),
        (b"", False, "without the status `success`"),
        (b'{"status":"parsing GGUF"}\n{"stat', False, "invalid"),
        (b'{"status":"success"}\n', True, "the connection broke"),
        (b'["success"]\n', False, "could not make the model"),
        (b'{"error":"disk full","status":"success"}\n', False, "disk full"),
    ],
)
def test_create_without_the_success_status_fails(
    lines: bytes, torn: bool, message: str, gguf: Path, finops: Finops
) -> None:
    """An error line, a broken stream and an end without "success" are failures, also if an older
    model has that name.
    """
    with canned_create(lines, torn) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    assert (done.returncode, message in done.stderr.decode(), done.stdout) == (
        2,
        True,
        b"",
    ), done.stderr


def test_create_upload_has_a_length_and_may_be_refused(gguf: Path, finops: Finops) -> None:
    """The upload announces its length. A server that refuses it ends the command with exit 2 before
    the create request.
    """
    answers = {f"HEAD /api/blobs/{DIGEST}": 404, f"POST /api/blobs/{DIGEST}": 400}
    with CannedServer(answers) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
        assert server.received[f"POST /api/blobs/{DIGEST}"] == GGUF_HEAD
        assert "POST /api/create" not in server.requests
    assert (done.returncode, b"answered 400" in done.stderr) == (2, True)


def test_create_accepts_success_without_a_final_newline(gguf: Path, finops: Finops) -> None:
    """A last line "success" without a newline is a success."""
    with canned_create(b'{"status":"success"}') as server:
        create = ("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
        assert finops(*create, "--no-try").returncode == 0


def test_create_reports_an_error_line_of_the_server(gguf: Path, finops: Finops) -> None:
    """A file that only the server finds unusable is sent, and the error line of the server ends
    the command with exit 2.
    """
    with canned_create(b'{"error":"the file is not in GGUF format"}\n') as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    assert (done.returncode, b"not in GGUF format" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_create_refuses_names_that_are_not_utf_8(
    more: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    """A file, folder or model name that is not valid UTF-8 is refused with exit 2, because JSON
    cannot hold it.
    """
    bad = os.fsdecode(b"\xff")
    (tmp_path / bad).mkdir()
    files = [tmp_path / f"{bad}.gguf", tmp_path / bad / "tiny.gguf"]
    for file in files:
        file.write_bytes(GGUF_HEAD)
    with CannedServer({}) as server:
        commands = [*(("--gguf", file) for file in files), ("--name", bad)]
        done = [
            finops("create", "--stage", "triage", "--host", server.url, *order, *more)
            for order in commands
        ]
        assert server.requests == []
    assert [(one.returncode, b"is not UTF-8" in one.stderr) for one in done] == [(2, True)] * 3, (
        done
    )


def test_create_refuses_the_home_of_an_unknown_user(tmp_path: Path, finops: Finops) -> None:
    """FROM with the home folder of an unknown user ends with exit 2 and without a traceback."""
    (tmp_path / "M").write_text("FROM ~no-such-user/x.gguf\n")
    done = finops("create", "--stage", "triage", "--modelfile", tmp_path / "M", "--dry-run")
    assert (
        done.returncode,
        b"FROM ~no-such-user/x.gguf" in done.stderr,
        b"Traceback" in done.stderr,
    ) == (2, True, False)
