"""`finops train --stage sentiment --kind distilbert`: the path without a GPU and without QLoRA."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finops_cli.models.sentiment.model_calibration import calibration_path
from tests.support.program import Finops

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # torch and its friends warn of their own plans
]
PROGRAM = """
import sys
from finops_cli.cli import main
sys.argv = ["finops", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
imported = [name for name in ("trl", "peft", "bitsandbytes") if name in sys.modules]
print("imported", imported, "torch" in sys.modules, file=sys.stderr)
"""


def write_texts(path: Path) -> Path:
    rows = [
        {"text": f"{subject} {word} {n}.", "label": label}
        for n in range(60)
        for subject in ("Profit", "Sales")
        for word, label in (("rose", "positive"), ("fell", "negative"), ("flat", "neutral"))
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_classifier_is_trained_without_qlora_packages(finops: Finops, tmp_path: Path) -> None:
    """150 steps on a processor give a folder that `finops sentiment` uses; neither TRL nor PEFT nor
    bitsandbytes is imported, although they may be installed. From random weights it is not good.
    """
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("presidio_analyzer")
    from tests.support.other_networks import save_distilbert

    base = save_distilbert(tmp_path / "base", labels=("a", "b"))
    data, folder = write_texts(tmp_path / "rows.jsonl"), tmp_path / "made"
    command = [
        sys.executable, "-c", PROGRAM, "train", "--stage", "sentiment", "--kind", "distilbert",
        "--base", base, "--data", data, "--max-steps", "150", "-o", folder, "--json", "-q",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "imported [] True" in done.stderr
    report = json.loads(done.stdout)
    assert report["parameters"] > 1_000
    assert report["rows"]["train"] > 200
    assert calibration_path(folder).is_file()
    texts = tmp_path / "t.jsonl"
    texts.write_text('{"text": "Profit rose 7."}\n{"text": "Sales fell 7."}\n')
    pytest.importorskip("llguidance")
    used = finops("sentiment", texts, "--backend", "transformers", "--sentiment-dir", folder)
    assert used.returncode == 0, used.stderr
    assert b"no calibration" not in used.stderr
    lines = [json.loads(line) for line in used.stdout.splitlines()]
    assert [line["provenance"]["confidence"] for line in lines] == ["exact", "exact"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "use --kind tfidf"),
        (["--base", "org/name"], "not downloaded"),
        (["--base", ".", "--preset", "16gb"], "does not take --preset"),
    ],
)
def test_base_of_a_classifier_is_required(
    options: list[str], message: str, finops: Finops, tmp_path: Path
) -> None:
    """Without a local base the command refuses and names the baseline."""
    done = finops(
        "train", "--stage", "sentiment", "--kind", "distilbert", "-o", tmp_path / "x", *options
    )
    assert (done.returncode, message in done.stderr.decode()) == (2, True), done.stderr
