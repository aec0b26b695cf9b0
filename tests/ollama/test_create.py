"""The command `finops create`: the requests that it sends, its messages, and the calls that it
refuses before it sends anything.
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


def test_create_sends_file_prompt_and_parameters(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """`finops create` sends the file by its digest, the system prompt and the parameters as
    numbers, and prints the result as JSON.
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


def test_create_reports_the_model_digest_of_the_server(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """The result has the model digest that the server reports, which differs from the digest of the
    file.
    """
    result = json.loads(
        finops(
            "create", "--stage", "resolver", "--gguf", gguf, "--host", server.url, "--json"
        ).stdout
    )
    model = server.models.get("finops-resolver")
    assert model is not None
    assert result["model_digest"] == model.digest != result["file_sha256"]


def test_create_uploads_a_file_only_once(server: FakeOllama, gguf: Path, finops: Finops) -> None:
    """The file is uploaded only if the server does not have it."""
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


def test_create_uploads_a_large_file_in_pieces(
    server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A file that is uploaded in several pieces has the digest of the whole file."""
    file = tmp_path / "large.gguf"
    file.write_bytes(GGUF_HEAD + os.urandom(9 * 1024 * 1024))
    done = finops("create", "--stage", "triage", "--gguf", file, "--host", server.url, "--json")
    assert json.loads(done.stdout)["file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"POST /api/blobs/sha256:{json.loads(done.stdout)['file_sha256']}" in requests_of(server)


def test_create_sends_every_instruction_of_the_modelfile(
    server: FakeOllama, gguf: Path, tmp_path: Path, finops: Finops
) -> None:
    """Template, licences, messages, renderer, parser, required version and quantization are sent.
    FROM is relative to the Modelfile.
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


def test_create_from_a_model_of_the_server_sends_no_file(
    server: FakeOllama, gguf: Path, tmp_path: Path, finops: Finops
) -> None:
    """FROM with a model name sends no file. A name that the server does not have is refused and not
    downloaded.
    """
    (tmp_path / "M").write_text("FROM finops-triage\nPARAMETER seed 7\n")
    command = ("create", "--stage", "resolver", "--modelfile", tmp_path / "M", "--host", server.url)
    refused = finops(*command)
    assert (refused.returncode, b"ollama pull finops-triage" in refused.stderr) == (3, True)
    finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    server.requests.clear()
    assert json.loads(finops(*command, "--json").stdout)["base"] == "finops-triage"
    assert create_request(server) == {
        "model": "finops-resolver",
        "from": "finops-triage",
        "parameters": {"seed": 7},
        "stream": True,
    }


def test_create_dry_run_prints_the_request_unsent(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """`--dry-run` prints the request that would be sent and contacts no server."""
    command = ("create", "--stage", "triage", "--gguf", gguf)
    printed = finops(*command, "--dry-run", "--host", NOWHERE)
    assert (printed.returncode, server.requests) == (0, [])
    finops(*command, "--host", server.url)
    assert json.loads(printed.stdout) == create_request(server)


def test_create_dry_run_needs_no_file(finops: Finops) -> None:
    """With `--dry-run` a missing file is listed with its name and without a digest."""
    printed = json.loads(finops("create", "--stage", "resolver", "--dry-run").stdout)
    assert list(printed["files"].values()) == [None]
    assert printed["parameters"]["num_ctx"] == 5120


def test_create_reports_disk_space_and_steps_unless_quiet(
    server: FakeOllama, gguf: Path, finops: Finops
) -> None:
    """`finops create` first reports the disk space that it needs and then each step. With `-q` it
    prints nothing.
    """
    command = ("create", "--stage", "triage", "--gguf", gguf, "--host", server.url)
    messages = finops(*command).stderr.decode().splitlines()
    assert (
        messages[0]
        == "needs up to 48 bytes on the server's disk: the files (24 bytes) and a copy that Ollama"
        " makes"
    )
    assert messages[1:3] == ["reading tiny.gguf", "sending tiny.gguf"]
    assert messages[-1] == "success"
    assert finops(*command, "-q").stderr == b""


@pytest.mark.slow
def test_create_on_a_terminal_shows_progress_on_stderr(server: FakeOllama, gguf: Path) -> None:
    """On a terminal each step has a progress bar on stderr, and stdout has only data."""
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
    messages = b""
    try:
        while piece := os.read(parent, 65536):
            messages += piece
    except OSError:
        pass  # Linux reports the end of a pty so
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["model"] == "finops-triage"
    process.stdout.close()
    os.close(parent)
    assert process.wait() == 0
    assert b"sending tiny.gguf" in messages
    assert b"24/24 bytes" in messages


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 3, "model.gguf: no such file"),
        (b"", 2, "is empty (0 bytes)"),
        (b"PK\x03\x04", 2, "is a ZIP archive"),
        (b"<!DOCTYPE html><title>Sign in</title>", 2, "is a web page"),
        (GGUF_HEAD[:-1], 2, "cut off"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", 2, "git lfs pull"),
    ],
)
def test_create_refuses_an_unusable_file_before_sending(
    content: bytes | None,
    code: int,
    message: str,
    server: FakeOllama,
    tmp_path: Path,
    finops: Finops,
) -> None:
    """A missing file, an empty one, another format and a Git LFS pointer are refused with a fix,
    before any request.
    """
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    done = finops(
        "create", "--stage", "triage", "--gguf", tmp_path / "model.gguf", "--host", server.url
    )
    assert (done.returncode, message in done.stderr.decode(), server.requests) == (code, True, [])
    if content is not None:
        tried = finops(
            "create", "--stage", "triage", "--gguf", tmp_path / "model.gguf", "--dry-run"
        )
        assert (tried.returncode, tried.stdout) == (code, b"")
        assert message in tried.stderr.decode()


@pytest.mark.parametrize(
    ("modelfile", "options", "code", "message"),
    [
        ("FROM ./absent.gguf", (), 3, "absent.gguf: no such file in"),
        ("FROM ./absent.gguf", (), 3, "--gguf FILE"),
        ("FROM tiny.gguf\nPARAMETER num_ctxx 1", (), 2, "did you mean num_ctx?"),
        ("FROM tiny.gguf\nFROM qwen3", (), 2, "one model, or one or more files, not both"),
        ("FROM .", (), 2, "is a folder"),
        ("FROM tiny.gguf\nFROM ./tiny.gguf", (), 2, "two files are named tiny.gguf"),
        ("FROM tiny.gguf", ("--quantize", "q5_K_M"), 2, "quantize with llama.cpp first"),
        ("FROM tiny.gguf", ("--host", "8.8.8.8"), 2, "must stay in your network"),
        ("FROM tiny.gguf", ("--host", NOWHERE), 3, "ollama serve"),
    ],
)
def test_create_refuses_an_impossible_modelfile_or_option(
    modelfile: str,
    options: tuple[str, ...],
    code: int,
    message: str,
    gguf: Path,
    server: FakeOllama,
    finops: Finops,
) -> None:
    """A wrong Modelfile or option ends with exit 2, and something missing with exit 3. No model is
    created.
    """
    (gguf.parent / "M").write_text(modelfile)
    done = finops(
        "create",
        "--stage",
        "triage",
        "--modelfile",
        gguf.parent / "M",
        *(() if "--host" in options else ("--host", server.url)),
        *options,
    )
    assert (done.returncode, message in done.stderr.decode()) == (code, True), done.stderr
    assert "POST /api/create" not in requests_of(server)


@pytest.mark.parametrize(
    ("version", "code", "message"),
    [
        ("0.29.9", 3, "Ollama 0.29.9 is too old"),
        ("0.17.0", 3, "qwen35"),
        ("0.30.0", 0, ""),
        ("0.30.0-rc2", 0, ""),
        ("1.0.0", 0, ""),
        ("0.0.0", 0, "finops: warning:"),
    ],
)
@pytest.mark.slow
def test_create_refuses_an_ollama_before_0_30(
    version: str, code: int, message: str, gguf: Path, finops: Finops
) -> None:
    """A server before 0.30 is refused. A build from source (0.0.0) is accepted with a warning, also
    with `-q`.
    """
    with FakeOllama(version=version, models=[]) as server:
        done = finops("create", "--stage", "triage", "--gguf", gguf, "--host", server.url, "-q")
        assert (done.returncode, message in done.stderr.decode()) == (code, True)
        assert ("POST /api/create" in requests_of(server)) == (code == 0)
    assert bool(done.stderr) == bool(message)
