"""The command `finops quantize` from end to end: a model that knows its answers is merged,
converted, quantized, tested and accepted by Ollama.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.quantization.accuracy_check import read_held_out
from tests.support.own_kb import change_kb
from tests.support.program import Finops

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[train]'")
pytest.importorskip("transformers", reason="needs transformers: pip install -e '.[train]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
pytest.importorskip("llguidance", reason="needs llguidance: pip install -e '.[llama]'")

from tests.support.tiny_checkpoints import (  # noqa: E402
    save_adapter,
    save_learnt,
    save_qwen3,
    save_silent,
    spoil,
)

pytestmark = pytest.mark.filterwarnings("default")  # other people's libraries, of several versions
ROWS = 2


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out rows of a generated set, all stages."""
    folder = tmp_path_factory.mktemp("data")
    for stage in ("triage", "resolver", "sentiment"):
        command = [
            sys.executable,
            "-m",
            "finops_cli",
            "generate",
            "--stage",
            stage,
            "-n",
            "600",
            "-o",
            str(folder),
            "-q",
        ]
        subprocess.run(command, capture_output=True, check=False)
    return folder


@pytest.fixture(scope="module")
def learnt(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the answers to the first rows of the evaluation set."""
    torch.set_num_threads(1)
    return save_learnt(
        tmp_path_factory.mktemp("learnt") / "model",
        read_held_out(rows / "triage-eval.jsonl", "triage", ROWS),
    )


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows no answers."""
    return save_qwen3(tmp_path_factory.mktemp("ignorant") / "model", max_position_embeddings=4096)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def quantize(finops: Finops, rows: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    options = ("--eval", rows / "triage-eval.jsonl", "--rows", ROWS)
    return finops("quantize", "--stage", "triage", *options, *arguments)


def test_quantize_writes_files_table_and_manifest_alike(
    learnt: Path, rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """One command writes several types. The files, the table and the manifest agree, and the number
    of threads changes no byte.
    """
    made = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        kinds = ("--type", "q8_0", "--type", "q4_k_m", "--type", "f16")
        done = quantize(finops, rows, "--base", learnt, "-o", folder, "--threads", threads, *kinds)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]
    [manifest] = [
        json.loads(text) for name, text in made[0].items() if name.endswith(".manifest.json")
    ]
    known = {"asked": ROWS, "valid": ROWS, "exact": ROWS, "decided": ROWS}
    assert (manifest["before"], manifest["adapter"]) == (known, None)
    assert [each["kind"] for each in manifest["outputs"]] == ["q8_0", "q4_k_m", "f16"]
    for each in manifest["outputs"]:
        assert hashlib.sha256(made[0][each["name"]]).hexdigest() == each["sha256"]
        assert (each["scores"], each["loss"], each["kept"]) == (
            known,
            {"valid": 0, "exact": 0},
            True,
        )
    assert {"Q4_K", "Q6_K", "F32"} == set(manifest["outputs"][1]["tensors"])
    assert {entry["name"]: entry["sha256"] for entry in manifest["base"]} == {
        path.name: sha256(path)
        for path in learnt.iterdir()
        if path.name != "generation_config.json"
    }
    assert done.stdout.decode().split() == [
        str(folder / each["name"]) for each in manifest["outputs"]
    ]
    messages = done.stderr.decode()
    assert "asking q4_k_m about 2 records" in messages
    assert messages.count("2 of 2") == 8
    assert (
        f"next: finops create --stage triage --gguf {folder / manifest['outputs'][1]['name']}"
        in messages
    )


def test_quantized_file_is_accepted_by_create(
    learnt: Path, rows: Path, tmp_path: Path, finops: Finops, server: FakeOllama
) -> None:
    """`finops create` sends the file that the manifest lists."""
    made = json.loads(
        quantize(finops, rows, "--base", learnt, "-o", tmp_path, "--json", "-q").stdout
    )
    file = tmp_path / made["outputs"][0]["name"]
    done = finops(
        "create", "--stage", "triage", "--gguf", file, "--host", server.url, "--json", "-q"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file_sha256"] == made["outputs"][0]["sha256"]


def test_quantize_merges_an_adapter(
    ignorant: Path, rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """The manifest lists the adapter's files and settings, and the merged model differs from the
    base.
    """
    adapter = save_adapter(ignorant, tmp_path / "adapter")
    plain, merged = (
        json.loads(
            quantize(
                finops,
                rows,
                "--base",
                ignorant,
                *more,
                "--no-check",
                "--json",
                "-q",
                "-o",
                tmp_path,
            ).stdout
        )
        for more in ((), ("--adapter", adapter))
    )
    assert (
        merged["adapter"]["rank"],
        merged["adapter"]["alpha"],
        merged["adapter"]["tensors"],
    ) == (8, 32, 14)
    assert [entry["name"] for entry in merged["adapter"]["files"]] == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert merged["outputs"][0]["sha256"] != plain["outputs"][0]["sha256"]
    assert (merged["before"], merged["outputs"][0]["scores"]) == (None, None)


def test_quantize_deletes_a_file_that_lost_accuracy(
    learnt: Path, rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """A type that loses too much accuracy is deleted with exit 1 and a message. The good file is
    kept.
    """
    base = spoil(learnt, tmp_path / "model")
    (tmp_path / "out").mkdir()
    done = quantize(
        finops, rows, "--base", base, "-o", tmp_path / "out", "--type", "f16", "--type", "q4_k_m"
    )
    assert done.returncode == 1
    [manifest] = (tmp_path / "out").glob("*.manifest.json")
    manifest_data = json.loads(manifest.read_text())
    assert manifest_data["before"]["exact"] == ROWS
    assert {each["kind"]: each["kept"] for each in manifest_data["outputs"]} == {
        "q4_k_m": False,
        "f16": True,
    }
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".gguf", ".json"]
    assert "q4_k_m lost 100.00 points of valid (1 allowed)" in done.stderr.decode()
    assert done.stdout.decode().split() == [str(next((tmp_path / "out").glob("*-f16.gguf")))]


def test_quantize_accuracy_limits_come_from_the_kb(
    learnt: Path, rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """A desk that allows every loss in its kb keeps every file."""
    base = spoil(learnt, tmp_path / "model")
    kb = change_kb(
        tmp_path, "quantization.toml", "valid = 1, exact = 2", "valid = 100, exact = 100"
    )
    options = ("--eval", rows / "triage-eval.jsonl", "--rows", ROWS, "-q", "-o", tmp_path)
    assert (
        finops("--kb", kb, "quantize", "--stage", "triage", "--base", base, *options).returncode
        == 0
    )


def test_quantize_reports_a_model_without_exact_answers(
    rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """For a model without exact answers the table says that the test shows nothing, in
    every stage.
    """
    silent_model = save_silent(tmp_path / "silent")
    for stage in ("triage", "resolver", "sentiment"):
        options = ("--eval", rows / f"{stage}-eval.jsonl", "--rows", 1, "-o", tmp_path)
        done = finops(
            "quantize", "--stage", stage, "--base", silent_model, "--type", "q8_0", *options
        )
        assert done.returncode == 0, done.stderr
        assert "no answer was exact before" in done.stderr.decode()
        assert done.stdout.decode().split() == [
            str(next(tmp_path.glob(f"finops-{stage}-qwen3-1m-q8_0.gguf")))
        ]


def test_quantize_of_a_gguf_file_equals_its_checkpoint(
    learnt: Path, rows: Path, tmp_path: Path, finops: Finops
) -> None:
    """`--gguf` gives the bytes that `--base` gives. A quantized, incomplete or other file is
    refused.
    """
    quantize(
        finops,
        rows,
        "--base",
        learnt,
        "-o",
        tmp_path,
        "--name",
        "one",
        "--type",
        "q8_0",
        "--type",
        "f16",
        "--no-check",
    )
    file = tmp_path / "one-f16.gguf"
    again = shutil.copy(file, tmp_path / "two-F16.gguf")
    done = quantize(finops, rows, "--gguf", again, "-o", tmp_path, "--type", "q8_0")
    assert done.returncode == 0, done.stderr
    assert sha256(tmp_path / "two-q8_0.gguf") == sha256(tmp_path / "one-q8_0.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-1000])
    for bad, message in (
        (tmp_path / "one-q8_0.gguf", "is quantized already"),
        (cut, "llama.cpp could not quantize cut.gguf to q8_0"),
    ):
        done = quantize(
            finops,
            rows,
            "--gguf",
            bad,
            "-o",
            tmp_path,
            "--type",
            "q8_0",
            "--name",
            "bad",
            "--no-check",
        )
        assert (done.returncode, message in done.stderr.decode()) == (2, True), done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("bad", ".finops"))]


def test_interrupted_quantize_leaves_no_file(ignorant: Path, rows: Path, tmp_path: Path) -> None:
    """Ctrl-C during the accuracy test ends with exit 130 and leaves the folder as it was."""
    options = [
        "--base",
        str(ignorant),
        "-o",
        str(tmp_path),
        "--eval",
        str(rows / "triage-eval.jsonl"),
    ]
    command = [sys.executable, "-m", "finops_cli", "quantize", "--stage", "triage", *options]
    process: Any = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    for line in process.stderr:
        if line.startswith("asking f16"):
            break
    os.killpg(process.pid, signal.SIGINT)
    messages = process.communicate(timeout=60)[1]  # a hundred records would take longer
    assert (process.returncode, "Traceback" in messages) == (130, False)
    assert "asking" not in messages  # it did not go on
    assert list(tmp_path.iterdir()) == []
