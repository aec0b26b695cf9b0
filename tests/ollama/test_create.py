"""`finops create`: what is sent to the server, what is told, and what is refused before anything is
sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.models.prompts import system_prompt
from tests.support.program import Finops
from tests.support.tiny_gguf import GGUF_HEAD

DIGEST = f"sha256:{hashlib.sha256(GGUF_HEAD).hexdigest()}"
NOWHERE = "127.0.0.1:9"
"""Port 9 (discard): nothing listens there."""


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama(models=[]) as fake:
        yield fake


def requests_of(server: FakeOllama) -> list[str]:
    return [f"{method} {path}" for method, path, _ in server.requests]


def create_request(server: FakeOllama) -> dict[str, Any]:
    """The body of the one request to create."""
    [body] = [body for method, path, body in server.requests if path == "/api/create"]
    assert isinstance(body, dict)
    return body


def test_the_model_is_made_of_the_file_and_the_modelfile(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """The file by its digest under its bare name; the system prompt; parameters as numbers; the
    result is data on stdout.
    """
    done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url, "--json")
    assert done.returncode == 0, done.stderr
    assert create_request(server) == {
        "model": "finops-triage",
        "files": {"tiny.gguf": DIGEST},
        "parameters": {
            "temperature": 0.1,
            "top_p": 0.9,
            "top_k": 40,
            "repeat_penalty": 1.0,
            "num_ctx": 2048,
            "num_predict": 512,
            "stop": ["<|im_end|>"],
        },
        "system": system_prompt("triage"),
        "stream": True,
    }
    result = json.loads(done.stdout)
    assert (result["model"], result["host"], result["bytes"]) == (
        "finops-triage",
        server.url,
        len(GGUF_HEAD),
    )
    assert (result["file"], f"sha256:{result['file_sha256']}") == (str(gguf), DIGEST)
    assert result["parameters"] == create_request(server)["parameters"]


def test_the_digest_of_the_model_is_the_servers_own(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """Since 0.30 Ollama keeps a checked copy: the model's digest is read back, and is not that of
    the file.
    """
    result = json.loads(
        finops(
            "create", "--stage", "resolver", "--gguf", gguf, "--host", server.url, "--json"
        ).stdout
    )
    model = server.models.get("finops-resolver")
    assert model is not None
    assert result["model_digest"] == model.digest != result["file_sha256"]


def test_a_file_is_sent_once(server: FakeOllama, gguf: Path, finops: Finops) -> None:
    """The server is asked whether it has the file; the second time it has."""
    for stage in ("triage", "resolver"):
        assert (
            finops("create", "--stage", stage, "--gguf", gguf, "--host", server.url).returncode == 0
        )
    blobs = [line for line in requests_of(server) if "/blobs/" in line]
    assert blobs == [
        f"HEAD /api/blobs/{DIGEST}",
        f"POST /api/blobs/{DIGEST}",
        f"HEAD /api/blobs/{DIGEST}",
    ]


def test_a_large_file_goes_in_pieces(server: FakeOllama, tmp_path: Path, finops: Finops) -> None:
    """Several pieces make the same digest as the whole."""
    file = tmp_path / "large.gguf"
    file.write_bytes(GGUF_HEAD + os.urandom(9 * 1024 * 1024))
    done = finops("create", "--stage", "triage", "--gguf", file, "--host", server.url, "--json")
    assert json.loads(done.stdout)["file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"POST /api/blobs/sha256:{json.loads(done.stdout)['file_sha256']}" in requests_of(server)


def test_everything_that_a_modelfile_says_is_sent(
    server: FakeOllama, gguf: Path, tmp_path: Path, finops: Finops
) -> None:
    """Template, licences, messages in order, renderer, parser, requires, quantization; FROM is
    sought beside the Modelfile.
    """
    text = (
        'FROM tiny.gguf\nTEMPLATE """{{ .Prompt }}"""\nLICENSE MIT\nLICENSE "more"\nMESSAGE user'
        " hi\nMESSAGE assistant ho\nRENDERER qwen3.5\nPARSER qwen3\nREQUIRES v0.30.0\n"
    )
    (tmp_path / "My.Modelfile").write_text(text)
    options = (
        "--modelfile",
        tmp_path / "My.Modelfile",
        "--name",
        "mine:v2",
        "--quantize",
        "Q4_k_m",
    )
    done = finops("create", "--stage", "triage", "--host", server.url, *options)
    assert done.returncode == 0, done.stderr
    assert create_request(server) == {
        "model": "mine:v2",
        "files": {"tiny.gguf": DIGEST},
        "template": "{{ .Prompt }}",
        "license": ["MIT", "more"],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "renderer": "qwen3.5",
        "parser": "qwen3",
        "requires": "0.30.0",
        "quantize": "q4_K_M",
        "stream": True,
    }


def test_a_model_of_the_server_can_be_the_base(
    server: FakeOllama, gguf: Path, tmp_path: Path, finops: Finops
) -> None:
    """FROM a name sends no file; a name that the server does not have is not fetched from the
    internet behind one's back.
    """
    (tmp_path / "M").write_text("FROM finops-triage\nPARAMETER seed 7\n")
    order = ("create", "--stage", "resolver", "--modelfile", tmp_path / "M", "--host", server.url)
    refused = finops(*order)
    assert (refused.returncode, b"ollama pull finops-triage" in refused.stderr) == (3, True)
    finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    server.requests.clear()
    assert json.loads(finops(*order, "--json").stdout)["base"] == "finops-triage"
    assert create_request(server) == {
        "model": "finops-resolver",
        "from": "finops-triage",
        "parameters": {"seed": 7},
        "stream": True,
    }


def test_print_shows_the_request_that_would_be_sent(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """The same object, and no server is asked."""
    order = ("create", "--stage", "triage", "--gguf", gguf)
    shown = finops(*order, "--dry-run", "--host", NOWHERE)
    assert (shown.returncode, server.requests) == (0, [])
    finops(*order, "--host", server.url)
    assert json.loads(shown.stdout) == create_request(server)


def test_print_needs_no_file(finops: Finops) -> None:
    """A file that is not there yet stands with its name and no digest."""
    shown = json.loads(finops("create", "--stage", "resolver", "--dry-run").stdout)
    assert list(shown["files"].values()) == [None]
    assert shown["parameters"]["num_ctx"] == 5120


def test_room_and_steps_are_told_before_and_quiet_tells_nothing(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    order = ("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    talk = finops(*order).stderr.decode().splitlines()
    assert (
        talk[0]
        == "needs up to 48 bytes on the server's disk: the files (24 bytes) and a copy that Ollama"
        " makes"
    )
    assert talk[1:3] == ["reading tiny.gguf", "sending tiny.gguf"]
    assert talk[-1] == "success"
    assert finops(*order, "-q").stderr == b""


def test_on_a_terminal_bars_move_on_stderr(server: FakeOllama, gguf: Path) -> None:
    """A real pty: each step has its bar, stdout stays data."""
    parent, child = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "finops_cli",
        "create",
        "--stage",
        "triage",
        "--gguf",
        str(gguf),
        "--host",
        server.url,
        "--json",
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, env=environment)
    os.close(child)
    talk = b""
    try:
        while piece := os.read(parent, 65536):
            talk += piece
    except OSError:
        pass  # Linux reports the end of a pty so
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["model"] == "finops-triage"
    process.stdout.close()
    os.close(parent)
    assert process.wait() == 0
    assert b"sending tiny.gguf" in talk
    assert b"24/24 bytes" in talk


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 3, "there is no such file in"),
        (b"", 2, "not with GGUF"),
        (b"PK\x03\x04", 2, "not with GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", 2, "git lfs pull"),
    ],
)
def test_a_file_that_is_no_use_is_refused_before_anything_is_sent(
    content: bytes | None, code: int, says: str, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """Missing, empty, another format, a pointer of Git LFS: the message says what to do, the server
    hears nothing.
    """
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    done = finops(
        "create", "--stage", "triage", "--gguf", tmp_path / "model.gguf", "--host", server.url
    )
    assert (done.returncode, says in done.stderr.decode(), server.requests) == (code, True, [])


@pytest.mark.parametrize(
    ("modelfile", "options", "code", "says"),
    [
        ("FROM ./absent.gguf", (), 3, "absent.gguf: there is no such file in"),
        ("FROM ./absent.gguf", (), 3, "--gguf FILE"),
        ("FROM tiny.gguf\nPARAMETER num_ctxx 1", (), 2, "did you mean num_ctx?"),
        ("FROM tiny.gguf\nFROM qwen3", (), 2, "one model, or one or more files, not both"),
        ("FROM .", (), 2, "is a folder"),
        ("FROM tiny.gguf\nFROM ./tiny.gguf", (), 2, "two files are named tiny.gguf"),
        ("FROM tiny.gguf", ("--quantize", "q5_K_M"), 2, "quantize with llama.cpp first"),
        ("FROM tiny.gguf", ("--host", "8.8.8.8"), 2, "may not leave the house"),
        ("FROM tiny.gguf", ("--host", NOWHERE), 3, "ollama serve"),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_why(
    modelfile: str,
    options: tuple[str, ...],
    code: int,
    says: str,
    gguf: Path,
    server: FakeOllama,
    finops: Finops,
) -> None:
    """2 for what is written wrongly, 3 for what is missing; nothing is made."""
    (gguf.parent / "M").write_text(modelfile)
    done = finops(
        "create",
        "--stage",
        "triage",
        "--modelfile",
        gguf.parent / "M",
        "--host",
        server.url,
        *options,
    )
    assert (done.returncode, says in done.stderr.decode()) == (code, True), done.stderr
    assert "POST /api/create" not in requests_of(server)


@pytest.mark.parametrize(
    ("version", "code", "says"),
    [
        ("0.29.9", 3, "Ollama 0.29.9 is too old"),
        ("0.17.0", 3, "qwen35"),
        ("0.30.0", 0, ""),
        ("0.30.0-rc2", 0, ""),
        ("1.0.0", 0, ""),
        ("0.0.0", 0, "finops: warning:"),
    ],
)
def test_the_server_must_be_new_enough(
    version: str, code: int, says: str, gguf: Path, finops: Finops
) -> None:
    """0.30 brought what the requests need; 0.0.0 is a build from source: it passes, with a warning
    even when quiet.
    """
    with FakeOllama(version=version, models=[]) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url, "-q")
        assert (done.returncode, says in done.stderr.decode()) == (code, True)
        assert ("POST /api/create" in requests_of(server)) == (code == 0)
    assert bool(done.stderr) == bool(says)
