"""`finops evaluate --stage sentiment`: measures of a backend, beside the baselines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.datasets.sentiment.examples import sentence
from finops_cli.datasets.sentiment.grammar import load_grammar
from tests.support.program import Finops


def write_rows(path: Path, count: int) -> Path:
    made = [sentence(index, 7, "train", load_grammar()) for index in range(count)]
    path.write_text(
        "".join(f"{json.dumps({'text': row.text, 'label': row.label})}\n" for row in made)
    )
    return path


def test_evaluation_of_generated_texts_measures_the_backend(finops: Finops, tmp_path: Path) -> None:
    """Accuracy, confusion, report of each class, calibration and statuses are in the result; the
    texts have templates of the test split, and nothing is written beside the model.
    """
    done = finops(
        "evaluate", "--stage", "sentiment", "--backend", "baseline", "-n", 120, "--no-baselines",
        "-o", tmp_path / "ev", "--json", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    measures = found["sentiment"]
    assert measures["answers"]["classified"]["right"]["of"] == 120
    assert set(measures["answers"]["classified"]["classes"]) == {"negative", "neutral", "positive"}
    assert measures["statuses"] == {"ok": 120}
    assert 0 <= measures["calibration_error"] <= 1
    assert found["verdict"]["earned"] is None
    rows = (tmp_path / "ev/records.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["text"] == sentence(0, 7, "test", load_grammar()).text
    assert "sentiment" in (tmp_path / "ev/report.html").read_text()


def test_whole_file_is_measured_with_learn_from_generated(finops: Finops, tmp_path: Path) -> None:
    """With --learn-from generated every text of a file is measured, here with an own baseline."""
    from finops_cli.models.sentiment.tfidf import bundled_path

    data = write_rows(tmp_path / "rows.jsonl", 30)
    own = tmp_path / "own.json"
    own.write_bytes(bundled_path().read_bytes())
    done = finops(
        "evaluate", "--stage", "sentiment", "--backend", "baseline", "--data", data, "--learn-from",
        "generated", "--baseline", own, "--no-baselines", "-o", tmp_path / "ev", "--json", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)["sentiment"]["answers"]
    assert answers["classified"]["right"]["of"] == 30
    assert answers["name"] == "baseline own.json"


@pytest.mark.slow
def test_baselines_learn_from_the_same_file(finops: Finops, tmp_path: Path) -> None:
    """The three pipelines learn from the train split of --data and answer its test split."""
    pytest.importorskip("sklearn")
    data = write_rows(tmp_path / "rows.jsonl", 600)
    done = finops(
        "evaluate", "--stage", "sentiment", "--backend", "baseline", "--data", data, "-o",
        tmp_path / "ev", "--json", "-q", "--no-timing",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [compared] = found["verdict"]["comparisons"]
    assert len(found["baselines"]["results"]) == 3
    assert compared["records"] == found["sentiment"]["answers"]["classified"]["right"]["of"]
    assert found["baselines"]["train_rows"] > 300
    assert found["sentiment"]["answers"]["p50_ms"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "a", "--phrasebank", "b"], "exclude each other"),
        (["--data", "missing.jsonl"], "cannot be read"),
        (["--learn-from", "generated"], "needs --data or --phrasebank"),
        (["--backend", "engine"], "not a sentiment backend"),
        (["--profile", "market"], "--stage sentiment does not take"),
    ],
)
def test_wrong_evaluation_is_refused(
    options: list[str], message: str, finops: Finops, tmp_path: Path
) -> None:
    """Files that are missing and options of other stages end with 2."""
    done = finops(
        "evaluate", "--stage", "sentiment", "--no-baselines", "-o", tmp_path / "ev", *options
    )
    assert (done.returncode, message in done.stderr.decode()) == (2, True), done.stderr


def test_row_without_a_known_label_names_its_line(finops: Finops, tmp_path: Path) -> None:
    """A row whose label is not one of the three is refused with file and line."""
    data = write_rows(tmp_path / "rows.jsonl", 5)
    data.write_text(data.read_text() + '{"text": "x", "label": "bullish"}\n')
    done = finops(
        "evaluate", "--stage", "sentiment", "--no-baselines", "--data", data, "-o", tmp_path / "e"
    )
    assert (done.returncode, b"line 6" in done.stderr) == (2, True)
