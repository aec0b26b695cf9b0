"""Folders of models: what is accepted, and what is refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.models.transformers.folders import read_folder
from tests.support.program import Finops


def write_folder(folder: Path, *left_out: str, **config: object) -> Path:
    """Write a folder with the files of a model that are looked at before it is loaded."""
    folder.mkdir()
    content = {
        "config.json": json.dumps({"architectures": ["Qwen3ForCausalLM"], **config}),
        "model.safetensors": "weights",
        "tokenizer.json": "{}",
    }
    for name, text in content.items():
        if name not in left_out:
            (folder / name).write_text(text)
    return folder


def test_folder_is_described_by_its_files(tmp_path: Path) -> None:
    """The digest changes with every file, and the kind of the network is read."""
    folder = write_folder(tmp_path / "m", max_position_embeddings=640)
    found = read_folder("triage", folder, None)
    assert (found.is_classifier, found.positions, found.size) == (False, 640, len("weights"))
    assert list(found.weights) == ["model.safetensors"]
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        before = (folder / name).read_text()
        (folder / name).write_text(before + " ")
        assert read_folder("triage", folder, None).digest != found.digest
        (folder / name).write_text(before)
    assert read_folder("triage", folder, None).digest == found.digest
    other = write_folder(tmp_path / "c", architectures=["DistilBertForSequenceClassification"])
    assert read_folder("sentiment", other, None).is_classifier


def test_adapter_counts_for_the_digest(tmp_path: Path) -> None:
    """A model with an adapter has another digest than alone; its weights are the base's."""
    folder = write_folder(tmp_path / "m")
    adapter = tmp_path / "a"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_text("low rank")
    alone, both = read_folder("triage", folder, None), read_folder("triage", folder, adapter)
    assert alone.digest != both.digest
    assert alone.weights == both.weights


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "Pickled weights"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_incomplete_folder_is_refused(left_out: str, message: str, tmp_path: Path) -> None:
    """A folder without configuration, safe weights or tokenizer is refused by its name."""
    folder = write_folder(tmp_path / "m", left_out)
    with pytest.raises(UsageError, match=message):
        read_folder("triage", folder, None)


def test_adapter_named_as_a_model_is_refused(tmp_path: Path) -> None:
    """A folder with an adapter alone names the option that it belongs to."""
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="is an adapter, not a model") as refused:
        read_folder("triage", tmp_path, None)
    assert "--triage-adapter" in refused.value.cure
    with pytest.raises(UsageError, match=r"has no adapter_config\.json"):
        read_folder("triage", write_folder(tmp_path / "m"), tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "transformers"], "no folder was named for: triage"),
        (["--backend", "engine", "--triage-dir", "x"], "only for --backend transformers"),
        (["--backend", "engine", "--load-in-4bit"], "only for --backend transformers"),
        (["--backend", "transformers", "--triage-adapter", "x"], "needs the model"),
        (["--backend", "transformers", "--triage-dir", "org/name"], "not downloaded"),
        (["--backend", "transformers", "--triage-gguf", "x"], "only for --backend llama-cpp"),
    ],
)
def test_wrong_options_are_refused(options: list[str], message: str, finops: Finops) -> None:
    """Folders that are missing and options of other backends end with 2, or with 3 where the
    packages are missing.
    """
    done = finops("triage", "examples/monday.jsonl", *options)
    lacks_packages = done.returncode == 3 and b"--backend transformers needs" in done.stderr
    assert lacks_packages or (done.returncode, message in done.stderr.decode()) == (2, True), (
        done.stderr
    )
