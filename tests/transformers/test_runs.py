"""`--backend transformers`: runs with folders of models, with and without an adapter."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.datasets.writer import DatasetOptions, row_at
from finops_cli.kb.load import bundled_kb_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.sentiment.model_calibration import calibration_path
from finops_cli.models.transformers.connect import open_transformers
from finops_cli.models.transformers.model_note import ModelNote, write_note
from tests.support.program import EXAMPLES, Finops

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # torch and its friends warn of their own plans
]
TEXTS = EXAMPLES / "sentiment" / "texts.jsonl"


def lines_of(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def learnt_rows(kb: KnowledgeBase, count: int = 2) -> list[Any]:
    options = DatasetOptions(
        stage="triage", rows=0, seed=5, profile="coverage", kb_dir=bundled_kb_dir()
    )
    return [row_at(options, index, kb) for index in range(count)]


@pytest.fixture(scope="module")
def learnt(kb: KnowledgeBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose model knows the answers to the first generated rows by heart."""
    from tests.support.tiny_checkpoints import save_learnt

    return save_learnt(tmp_path_factory.mktemp("learnt") / "model", learnt_rows(kb))


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.tiny_checkpoints import save_qwen3

    folder = tmp_path_factory.mktemp("random") / "model"
    return save_qwen3(folder, max_position_embeddings=4096)


def test_folder_answers_what_its_model_has_learnt(
    learnt: Path, kb: KnowledgeBase, finops: Finops, tmp_path: Path
) -> None:
    """A model that knows the answers gives verified lines with the digest of its folder; the same
    prompts and checks apply as with other backends.
    """
    records = tmp_path / "fails.jsonl"
    records.write_text("".join(f"{row.record}\n" for row in learnt_rows(kb)))
    output = tmp_path / "out.jsonl"
    done = finops(
        "triage", records, "--backend", "transformers", "--triage-dir", learnt, "-o", output,
        "--guard", "on", "--keep-raw",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line, row in zip(lines_of(output.read_bytes()), learnt_rows(kb), strict=True):
        assert line["status"] == "ok"
        assert line["provenance"]["backend"] == "transformers"
        assert line["provenance"]["models"]["triage"] == "model"
        assert len(line["provenance"]["digests"]["triage"]) == 64
        assert line["raw"]["triage"][0]["text"] == row.completion[0].content
    assert finops("check", output, "--fails", records).returncode == 0


def test_adapter_is_named_and_falls_back_to_the_engine(finops: Finops, tmp_path: Path) -> None:
    """A model that says nothing gives the engine's answers; the lines name base and adapter."""
    pytest.importorskip("peft")
    from tests.support.tiny_checkpoints import save_adapter, save_silent

    silent = save_silent(tmp_path / "silent")
    config = json.loads((silent / "config.json").read_text())
    config["max_position_embeddings"] = 640  # few tokens are left for an answer
    (silent / "config.json").write_text(json.dumps(config))
    adapter = save_adapter(silent, tmp_path / "adapter", ["q_proj"])
    fails = tmp_path / "one.jsonl"
    fails.write_bytes((EXAMPLES / "monday.jsonl").read_bytes().splitlines(keepends=True)[0])
    done = finops(
        "run", fails, "--backend", "transformers", "--triage-dir", silent,
        "--triage-adapter", adapter, "--resolver-dir", silent, "--guard", "on",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    [line] = lines_of(done.stdout)
    assert line["status"] == "fallback"
    assert line["provenance"]["models"]["triage"] == "silent+adapter"
    digests = line["provenance"]["digests"]
    assert digests["triage"] != digests["resolver"]


def test_adapter_of_another_base_is_refused(
    random_model: Path, learnt: Path, finops: Finops, tmp_path: Path
) -> None:
    """An adapter whose note names other weights than the folder's is refused before it loads."""
    pytest.importorskip("peft")
    from tests.support.tiny_checkpoints import save_adapter

    adapter = save_adapter(random_model, tmp_path / "adapter")
    write_note(adapter, ModelNote(modelfile="triage", base={"model.safetensors": "0" * 64}))
    done = finops(
        "triage", EXAMPLES / "monday.jsonl", "--backend", "transformers", "--triage-dir", learnt,
        "--triage-adapter", adapter,
    )  # fmt: skip
    assert (done.returncode, b"trained on another base" in done.stderr) == (2, True), done.stderr
    assert b"--triage-dir" in done.stderr


def test_process_that_dies_is_started_again(random_model: Path, kb: KnowledgeBase) -> None:
    """A killed process is replaced, and the request that it had is answered."""
    request = BackendRequest(
        backend="transformers", stages=("triage",), folders={"triage": random_model}
    )
    model = open_transformers(request, kb)
    try:
        model.prepare("triage")
        asked = CompletionRequest("triage", "a", seed=1, choices=("a", "b"))
        before = model.complete(asked)
        process = model._models["triage"]._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        assert model.complete(asked).choice_logits == pytest.approx(before.choice_logits)
    finally:
        model.close()


def test_language_model_labels_texts_with_calibrated_logits(
    random_model: Path, finops: Finops, tmp_path: Path
) -> None:
    """A folder labels texts by the logits of the three labels; its temperature is kept in it."""
    import shutil

    folder = shutil.copytree(random_model, tmp_path / "model")
    command = ("sentiment", TEXTS, "--backend", "transformers", "--sentiment-dir", folder)
    done = finops(*command)
    assert done.returncode == 0, done.stderr
    assert b"no calibration" in done.stderr
    for line in lines_of(done.stdout):
        assert line["provenance"]["confidence"] == "exact"
        assert sum(line["sentiment"]["scores"].values()) == pytest.approx(1)
    data = tmp_path / "rows.jsonl"
    rows = [
        {"text": f"Profit {word} by {n}.", "label": label}
        for n in range(40)
        for word, label in (("rose", "positive"), ("fell", "negative"), ("stays", "neutral"))
    ]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    fitted = finops(
        "train", "--stage", "sentiment", "--kind", "calibration", "--base", folder, "--data", data
    )
    assert fitted.returncode == 0, fitted.stderr
    assert calibration_path(folder).is_file()
    again = finops(*command)
    assert b"no calibration" not in again.stderr
    before, after = lines_of(done.stdout), lines_of(again.stdout)
    assert [line["sentiment"]["label"] for line in before] == [
        line["sentiment"]["label"] for line in after
    ]
    assert before[0]["sentiment"]["confidence"] != after[0]["sentiment"]["confidence"]


def test_classifier_labels_texts_and_flags_long_ones(finops: Finops, tmp_path: Path) -> None:
    """A DistilBERT gives the probability of each label by the name of its outputs; a text longer
    than its positions has the flag truncated.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from tests.support.other_networks import save_distilbert

    folder = save_distilbert(tmp_path / "m", labels=("neutral", "negative", "positive"))
    texts = ["profit rose.", "sales fell.", "profit " * 100]
    given = tmp_path / "t.jsonl"
    given.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    done = finops(
        "sentiment", given, "--backend", "transformers", "--sentiment-dir", folder, "--guard", "off"
    )
    assert done.returncode == 0, done.stderr
    lines = lines_of(done.stdout)
    assert ["truncated" in line["flags"] for line in lines] == [False, False, True]
    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for text, line in zip(texts[:2], lines[:2], strict=True):
        with torch.inference_mode():
            [row] = model(**tokens(text, return_tensors="pt")).logits.softmax(-1).tolist()
        expected = dict(zip(("neutral", "negative", "positive"), row, strict=True))
        assert line["sentiment"]["scores"] == pytest.approx(expected, abs=2e-4)


def test_classifier_without_the_labels_gives_the_baseline(finops: Finops, tmp_path: Path) -> None:
    """A classifier of other labels answers nothing: the baseline does, and the line says so."""
    from tests.support.other_networks import save_distilbert

    folder = save_distilbert(tmp_path / "m", labels=("bull", "bear"))
    done = finops("sentiment", TEXTS, "--backend", "transformers", "--sentiment-dir", folder)
    assert done.returncode == 1
    assert {line["status"] for line in lines_of(done.stdout)} == {"fallback"}
