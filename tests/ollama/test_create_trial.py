"""The end of `finops create`: one record for the new model, and the digest that the manifest
records.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    Behaviour,
    CorrectAnswer,
    Crash,
    FakeOllama,
    FixedText,
)
from finops_cli.kb.load import bundled_dir
from tests.support.program import Finops
from tests.support.soak import IS_SOAK
from tests.support.tiny_gguf import GGUF_HEAD


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    """A fake Ollama without models."""
    with FakeOllama(models=()) as server:
        yield server


def create(finops: Finops, server: FakeOllama, gguf: Path, *options: object) -> Any:
    return finops(
        "create", "--stage", "triage", "--gguf", gguf, "--host", server.url, "--json", *options
    )


@pytest.mark.parametrize(
    ("script", "result", "warning"),
    [
        (lambda _: CorrectAnswer(), "right", ""),
        (lambda _: FixedText("{}"), "wrong", "answered one record wrong: schema"),
        (lambda _: FixedText("nonsense"), "failed", "gave no usable answer to one record: reply"),
        pytest.param(  # a model that has stopped is asked again for a minute
            lambda _: Crash(),
            "failed",
            "gave no usable answer to one record: ",
            marks=[pytest.mark.slow, pytest.mark.skipif(not IS_SOAK, reason="left to `just soak`")],
        ),
    ],
)
def test_create_says_how_the_new_model_did(
    script: Callable[[Any], Behaviour],
    result: str,
    warning: str,
    server: FakeOllama,
    gguf: Path,
    finops: Finops,
) -> None:
    """The model that was made is asked one record. A wrong answer, or none, is a warning and ends
    with 1, as a record with violations does in every command; the model exists.
    """
    server.script = script
    done = create(finops, server, gguf)
    assert done.returncode == int(result != "right"), done.stderr
    created = json.loads(done.stdout)
    assert created["trial"]["result"] == result
    shown = " ".join(done.stderr.decode().split())
    assert warning in shown
    assert ("finops evaluate" in shown) == (result != "right")
    assert {request.model for request in server.received} == {"finops-triage"}


def test_create_no_try_asks_nothing(server: FakeOllama, gguf: Path, finops: Finops) -> None:
    """`--no-try` makes the model and asks it nothing."""
    done = create(finops, server, gguf, "--no-try")
    assert (done.returncode, server.received) == (0, [])
    assert json.loads(done.stdout)["trial"] is None


def test_create_tries_the_sentiment_model(server: FakeOllama, gguf: Path, finops: Finops) -> None:
    """The model of sentiment labels one positive text."""
    server.script = lambda _: FixedText("positive")
    command = ("create", "--stage", "sentiment", "--gguf", gguf, "--host", server.url, "--json")
    assert json.loads(finops(*command).stdout)["trial"]["result"] == "right"
    server.script = lambda _: FixedText("negative")
    trial = json.loads(finops(*command).stdout)["trial"]
    assert (trial["result"], trial["detail"]) == ("wrong", "negative, not positive")


def test_created_sentiment_model_labels_texts(
    server: FakeOllama, gguf: Path, tmp_path: Path, finops: Finops
) -> None:
    """The model that `finops create --stage sentiment` makes answers `finops sentiment`."""
    server.script = lambda _: FixedText("positive")
    finops("create", "--stage", "sentiment", "--gguf", gguf, "--host", server.url, "--no-try")
    (tmp_path / "texts.txt").write_text("Profit rose.\n")
    done = finops(
        "sentiment", tmp_path / "texts.txt", "--lines", "--backend", "ollama", "--host", server.url
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sentiment"]["label"] == "positive"


def test_create_prints_the_trial_for_people(server: FakeOllama, gguf: Path, finops: Finops) -> None:
    """Without --json the result of the record is a line of its own."""
    done = finops("create", "--stage", "resolver", "--gguf", gguf, "--host", server.url)
    assert "tried        one record: right" in done.stdout.decode()


def write_manifest(path: Path, *outputs: tuple[str, str]) -> None:
    content = {"outputs": [{"name": name, "sha256": digest} for name, digest in outputs]}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("manifest", ["model.manifest.json", "other.manifest.json"])
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_create_refuses_a_file_that_its_manifest_does_not_record(
    manifest: str, options: tuple[str, ...], server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A flipped byte is found by the digest in the manifest beside the file. The file is named and
    not sent.
    """
    content = GGUF_HEAD + bytes(64)
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    write_manifest(tmp_path / manifest, ("model.gguf", sha256(content).hexdigest()))
    assert create(finops, server, file, "--no-try", *options).returncode == 0
    server.requests.clear()
    file.write_bytes(content[:-1] + b"\x01")
    done = create(finops, server, file, "--no-try", *options)
    shown = " ".join(done.stderr.decode().split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"{file}: its SHA-256 begins with" in shown
    assert f"{manifest} beside it records {sha256(content).hexdigest()[:12]}" in shown
    assert not [path for method, path, _ in server.requests if method in ("HEAD", "POST")]


def test_create_accepts_the_bundled_file_beside_its_manifest(
    server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A file that was renamed together with its manifest is one of its outputs, and a changed copy
    of it is refused.
    """
    for name in ("tiny-triage.gguf", "tiny-triage.manifest.json"):
        shutil.copy(bundled_dir("bundled_models") / name, tmp_path / name)
    file = tmp_path / "tiny-triage.gguf"
    assert create(finops, server, file, "--no-try").returncode == 0
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    assert create(finops, server, file, "--no-try").returncode == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"outputs": 5}', '{"outputs": [1]}'])
def test_create_reports_a_manifest_that_cannot_be_read(
    content: str, server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A manifest that is none is reported, and the file is used without it."""
    file = tmp_path / "model.gguf"
    file.write_bytes(GGUF_HEAD)
    (tmp_path / "model.manifest.json").write_text(content)
    done = create(finops, server, file, "--no-try")
    assert done.returncode == 0
    assert b"was not compared" in b" ".join(done.stderr.split())


def test_create_ignores_a_manifest_of_other_files(
    server: FakeOllama, tmp_path: Path, finops: Finops
) -> None:
    """A manifest that neither names the file nor is named like it says nothing about it."""
    file = tmp_path / "model.gguf"
    file.write_bytes(GGUF_HEAD)
    write_manifest(tmp_path / "other.manifest.json", ("other.gguf", "0" * 64))
    assert create(finops, server, file, "--no-try").returncode == 0
