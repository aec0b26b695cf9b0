"""The fake Ollama server and models: uploads, model creation, and the official client."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from finops_cli import extras
from finops_cli.devtools.fake_ollama import FakeOllama, write_gguf
from finops_cli.errors import MissingPiece
from tests.ollama.test_fake_ollama import CLIENT, TRIAGE, lines
from tests.support.cures import cured_by

QWEN = {
    "general.architecture": "qwen3",
    "qwen3.context_length": 40_960,
    "general.file_type": 15,
    "general.size_label": "8B",
    "tokenizer.chat_template": "{{ '<think>' }} {{ '</think>' }}",
    "tokenizer.ggml.add_bos_token": False,
    "general.scale": 0.5,
}


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama() as running:
        yield running


@pytest.fixture
def client(server: FakeOllama) -> Iterator[ollama.Client]:
    made = ollama.Client(server.url)
    yield made
    made._client.close()


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, QWEN)
    return path


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def upload(server: FakeOllama, content: bytes) -> str:
    digest = digest_of(content)
    assert CLIENT.post(f"{server.url}/api/blobs/{digest}", content=content).status_code == 201
    return digest


def test_fake_ollama_blob_exists_after_its_upload(server: FakeOllama) -> None:
    """A blob is absent (404), created (201) and then present (200). A chunked upload works like one
    with a length.
    """
    content = bytes(range(256)) * 1000
    url = f"{server.url}/api/blobs/{digest_of(content)}"
    blocks = (content[start : start + 5000] for start in range(0, len(content), 5000))
    statuses = [
        CLIENT.head(url),
        CLIENT.post(url, content=blocks),
        CLIENT.head(url),
        CLIENT.post(url, content=content),
    ]
    assert [response.status_code for response in statuses] == [404, 201, 200, 200]


def test_fake_ollama_refuses_a_blob_with_another_digest(server: FakeOllama) -> None:
    """A blob with another digest is refused with both digests and kept under its own. A malformed
    digest is 400.
    """
    expected, real = digest_of(b"one"), digest_of(b"two")
    response = CLIENT.post(f"{server.url}/api/blobs/{expected}", content=b"two")
    assert (response.status_code, response.json()["error"]) == (
        400,
        f'digest mismatch, expected "{expected}", got "{real}"',
    )
    heads = [
        CLIENT.head(f"{server.url}/api/blobs/{digest}").status_code
        for digest in (expected, real, "sha256:12", "..%2Fx")
    ]
    assert heads == [404, 200, 400, 400]


def test_fake_ollama_creates_a_model_from_an_upload(server: FakeOllama, gguf: Path) -> None:
    """A create request streams status lines up to `success`. The stored digest differs from the
    file's.
    """
    digest = upload(server, gguf.read_bytes())
    sent = {
        "model": "mine",
        "files": {"tiny.gguf": digest},
        "system": "Be brief.",
        "parameters": {"num_ctx": 1024, "stop": ["<|im_end|>"]},
    }
    response = CLIENT.post(f"{server.url}/api/create", json=sent)
    events = lines(response)
    assert [line["status"] for line in events][:2] == ["parsing GGUF", "validating GGUF model"]
    assert [line["status"] for line in events][-2:] == ["writing manifest", "success"]
    assert {(line["total"], line["completed"]) for line in events if "total" in line} >= {
        (gguf.stat().st_size, gguf.stat().st_size)
    }
    description = CLIENT.post(f"{server.url}/api/show", json={"model": "mine"}).json()
    assert (description["system"], description["capabilities"]) == (
        "Be brief.",
        ["completion", "thinking"],
    )
    assert description["model_info"]["qwen3.context_length"] == 40_960
    assert digest.removeprefix("sha256:") not in description["modelfile"]
    listed = CLIENT.get(f"{server.url}/api/tags").json()["models"]
    assert listed[0]["name"] == "mine:latest"
    assert listed[0]["details"]["quantization_level"] == "Q4_K_M"


def test_fake_ollama_derived_model_has_its_own_digest(server: FakeOllama) -> None:
    """A model with other parameters than its base has another digest."""
    sent = {
        "model": "warmer",
        "from": "finops-triage",
        "parameters": {"temperature": 0.7},
        "stream": False,
    }
    assert CLIENT.post(f"{server.url}/api/create", json=sent).json() == {"status": "success"}
    listed = {
        entry["name"]: entry["digest"]
        for entry in CLIENT.get(f"{server.url}/api/tags").json()["models"]
    }
    assert listed["warmer:latest"] != listed["finops-triage:latest"]


def test_fake_ollama_wrong_parameter_type_fails_on_generate(server: FakeOllama) -> None:
    """A create request accepts a number as text, and the first generation fails with an error."""
    sent = {
        "model": "text",
        "from": "finops-triage",
        "parameters": {"num_ctx": "2048"},
        "stream": False,
    }
    assert CLIENT.post(f"{server.url}/api/create", json=sent).status_code == 200
    response = CLIENT.post(f"{server.url}/api/generate", json={"model": "text", "prompt": TRIAGE})
    assert (response.status_code, response.json()["error"]) == (
        500,
        'option "num_ctx" must be of type integer',
    )


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        ({"model": "m"}, 400, "neither 'from' or 'files' was specified"),
        ({"files": {"a.gguf": digest_of(b"")}}, 400, "invalid model name"),
        ({"model": "m", "files": {"/a.gguf": digest_of(b"")}}, 400, "file path must be relative"),
        ({"model": "m", "files": {}}, 400, "no files provided to convert"),
        ({"model": "m", "files": {"a.gguf": "sha1:1"}}, 400, "invalid digest format"),
        ({"model": "m", "files": {"a.bin": digest_of(b"absent")}}, 400, "blob not found"),
        ({"model": "m", "from": "nobody"}, 404, "model 'nobody' not found"),
    ],
)
def test_fake_ollama_invalid_create_has_an_error_status(
    server: FakeOllama, sent: dict[str, object], status: int, message: str
) -> None:
    """An invalid create request is answered with an error status before the first status line."""
    response = CLIENT.post(f"{server.url}/api/create", json=sent)
    assert response.status_code == status
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("content", "quantize", "message"),
    [
        (b"not GGUF at all", "", "supplied file was not in GGUF format"),
        (b"GGUF\x03", "", "supplied file was not in GGUF format"),
        (None, "q4_K_M", ""),
        (None, "q8_0", "quantization is only supported for F16, BF16 and F32 models"),
        (None, "q5_1", "unsupported quantization type Q5_1"),
    ],
)
def test_fake_ollama_failing_create_ends_in_an_error_line(
    server: FakeOllama, gguf: Path, content: bytes | None, quantize: str, message: str
) -> None:
    """A create request that fails later has status 200 and an error line. Without a stream it has
    status 400.
    """
    digest = upload(server, gguf.read_bytes() if content is None else content)
    sent = {"model": "m", "files": {"a.gguf": digest}, "quantize": quantize}
    events = lines(CLIENT.post(f"{server.url}/api/create", json=sent))
    assert events[0] == {"status": "parsing GGUF"}
    assert message in events[-1].get("error", "")
    whole = CLIENT.post(f"{server.url}/api/create", json={**sent, "stream": False})
    assert whole.status_code == (400 if message else 200)


def test_fake_ollama_create_of_an_absent_blob_is_an_error(server: FakeOllama) -> None:
    """A create request for a blob that was not uploaded ends with an error line."""
    sent = {"model": "m", "files": {"a.gguf": digest_of(b"absent")}}
    assert (
        "no such file or directory"
        in lines(CLIENT.post(f"{server.url}/api/create", json=sent))[-1]["error"]
    )


def test_fake_ollama_deleted_model_is_gone(server: FakeOllama) -> None:
    """Deleting a model gives 200, and deleting it again gives 404."""
    sent = {"model": "finops-triage"}
    statuses = [
        CLIENT.request("DELETE", f"{server.url}/api/delete", json=sent).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 404]


def test_ollama_client_lists_shows_and_generates(client: ollama.Client, server: FakeOllama) -> None:
    """The official client lists, shows and runs models of the fake server, with and without a
    stream.
    """
    assert [model.model for model in client.list().models] == [
        "finops-triage:latest",
        "finops-resolver:latest",
    ]
    description = client.show("finops-triage")
    assert (description.modelinfo or {})["general.architecture"] == "qwen35"
    assert description.capabilities == ["completion", "thinking"]
    parts = list(client.generate("finops-triage", TRIAGE, raw=True, think=False, stream=True))
    assert parts[-1].done_reason == "stop"
    whole = client.generate("finops-triage", TRIAGE, raw=True, think=False)
    assert whole.response == "".join(part.response for part in parts)
    assert client.ps().models[0].context_length == 2048


def test_ollama_client_uploads_creates_and_deletes(
    client: ollama.Client, server: FakeOllama, gguf: Path
) -> None:
    """The official client uploads a file, creates a model from it and deletes a model."""
    digest = client.create_blob(gguf)
    events = list(
        client.create("mine", files={gguf.name: digest}, parameters={"num_ctx": 512}, stream=True)
    )
    assert events[-1].status == "success"
    assert client.create("other", from_="mine").status == "success"
    assert client.delete("other").status == "success"
    assert client.list().models[0].model == "mine:latest"


def test_ollama_client_raises_the_servers_error(client: ollama.Client) -> None:
    """The official client raises ResponseError with the status and the message of the fake
    server.
    """
    with pytest.raises(ollama.ResponseError, match="model 'nobody' not found") as caught:
        client.generate("nobody", "hello")
    assert caught.value.status_code == 404


def test_fake_ollama_with_a_file_needs_llama_cpp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake server with a GGUF file raises MissingPiece with the fix if llama.cpp is not
    installed.
    """
    monkeypatch.setitem(__import__("sys").modules, "llama_cpp", None)
    with pytest.raises(MissingPiece, check=cured_by(re.escape(extras.cure("llama")))):
        FakeOllama(gguf={"finops-triage": tmp_path / "a.gguf"})
