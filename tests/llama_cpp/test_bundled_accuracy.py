"""The bundled models: their files match the manifests, and they answer as accurately as
documented.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from finops_cli.datasets.rows import Row
from finops_cli.datasets.writer import DatasetOptions, row_at
from finops_cli.domain.stage_names import StageName
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.bundled import model_files
from finops_cli.quantization.accuracy_check import check_accuracy
from tests.support.program import ROOT, Finops

RATES = {"triage": 98, "resolver": 80}
"""The least percentage of unseen records that each model answers correctly."""
SAMPLE_SIZE = 60
CHANCE = {"triage": 7, "resolver": 10}
"""Percentage points by which so small a sample may fall short."""
MOST_FTRS = 3
"""The greatest number of fails to receive that the bundled resolver was trained on."""


@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        *((stage, folder) for stage in RATES for folder in ("bundled_models", "training/continue")),
        ("sentiment", "bundled_models"),
    ],
)
def test_bundled_file_matches_its_manifest_and_record(stage: str, folder: str) -> None:
    """The digest of each model file is in its manifest, and the manifest's weights are those of the
    training record.
    """
    manifest = json.loads((ROOT / folder / f"tiny-{stage}.manifest.json").read_bytes())
    [output] = manifest["outputs"]
    assert (
        hashlib.sha256((ROOT / folder / f"tiny-{stage}.gguf").read_bytes()).hexdigest()
        == output["sha256"]
    )
    run = json.loads((ROOT / folder / f"tiny-{stage}.run.json").read_bytes())
    weights = {f"model/{each['name']}": each["sha256"] for each in manifest["base"]}
    assert (
        weights["model/model.safetensors"] == run["result"]["artefacts"]["model/model.safetensors"]
    )


@pytest.mark.parametrize("stage", RATES)
def test_bundled_model_continued_phase_1_with_its_accuracy(
    stage: str,
) -> None:
    """The record of each bundled model names the phase 1 file as its base, and its score is at
    least the documented one.
    """
    run = json.loads((ROOT / "bundled_models" / f"tiny-{stage}.run.json").read_bytes())
    first = ROOT / "training/continue" / f"tiny-{stage}.gguf"
    assert run["made_from"]["base"] == {"gguf": hashlib.sha256(first.read_bytes()).hexdigest()}
    [output] = json.loads((ROOT / "bundled_models" / f"tiny-{stage}.manifest.json").read_bytes())[
        "outputs"
    ]
    assert 100 * output["scores"]["exact"] >= RATES[stage] * output["scores"]["asked"]


def test_bundled_sentiment_model_labels_texts(finops: Finops) -> None:
    """Without a file, llama.cpp labels texts with the model that ships, which has a calibration."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    texts = ROOT / "examples" / "sentiment" / "texts.jsonl"
    done = finops("sentiment", texts, "--backend", "llama-cpp", "--guard", "off")
    assert done.returncode == 0, done.stderr
    assert b"tiny-sentiment.gguf" in done.stderr
    assert b"no calibration" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["provenance"]["confidence"] for line in lines} == {"exact"}
    assert all(line["sentiment"]["confidence"] > 1 / 3 for line in lines)


@pytest.mark.parametrize("stage", RATES)
def test_bundled_model_answers_unseen_records_accurately(
    stage: StageName, kb: KnowledgeBase
) -> None:
    """A bundled model answers unseen records with the documented accuracy, less a margin for the
    small sample.
    """
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    rows = list(islice(unseen_rows(stage, kb), SAMPLE_SIZE))
    scores = check_accuracy(model_files([stage])[stage], stage, rows, kb, lambda done: None)
    assert scores.asked == SAMPLE_SIZE
    assert 100 * scores.exact >= (RATES[stage] - CHANCE[stage]) * SAMPLE_SIZE


def test_evaluation_of_bundled_model_reports_accuracy_speed(tmp_path: Path, finops: Finops) -> None:
    """An evaluation of the bundled triage model reports its correct answers and its tokens per
    second.
    """
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    arguments = (
        "--stage",
        "triage",
        "--backend",
        "llama-cpp",
        "-n",
        8,
        "-o",
        tmp_path,
        "--no-baselines",
        "--json",
    )
    metrics = json.loads(finops("evaluate", *arguments).stdout)["metrics"]
    assert metrics["first_answers"]["right"] >= 6
    assert metrics["speed"]["tokens"] > 8 * 100
    assert metrics["speed"]["tokens_per_second"] > 0


def unseen_rows(stage: StageName, kb: KnowledgeBase) -> Iterator[Row]:
    """Rows of the evaluation split that the model is made for, of a seed that nothing was made
    with.
    """
    order = DatasetOptions(
        stage=stage, rows=0, seed=4711, profile="coverage", kb_dir=bundled_kb_dir()
    )
    for index in count():
        row = row_at(order, index * kb.datasets.eval_every + kb.datasets.eval_every - 1, kb)
        if stage == "triage" or 1 <= len(json.loads(row.record)["ftrs"]) <= MOST_FTRS:
            yield row
