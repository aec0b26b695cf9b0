"""The results folder of an evaluation: a refused call changes nothing in it, and its files belong
together.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from finops_cli.errors import ResumeRefused
from finops_cli.evaluation.run import BaselineOptions, conclude
from finops_cli.evaluation.samples import SampleOptions
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.evaluations import run_evaluation
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl

CALL = ("evaluate", "--stage", "triage", "--no-baselines", "--no-timing", "-q")


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of each file but the note of the run, which says who ran it, and when."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if not file.name.endswith(".run.json")
    }


@pytest.fixture
def finished(tmp_path: Path, finops: Finops) -> Path:
    """An evaluation of five records by the engine."""
    done = finops(*CALL, "--backend", "engine", "-n", 5, "-o", tmp_path / "ev")
    assert done.returncode == 0, done.stderr
    return tmp_path / "ev"


def interrupt(folder: Path) -> None:
    """Leave the folder as a kill after two records would."""
    answers, note = folder / "answers.jsonl", folder / "answers.jsonl.run.json"
    answers.write_bytes(b"".join(answers.read_bytes().splitlines(keepends=True)[:2]))
    note.write_bytes(note.read_bytes().replace(b'"complete": true', b'"complete": false'))
    for name in ("evaluation.json", "report.html", "outcomes.jsonl"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--backend", "engine", "-n", 6, "--resume"),
            "the answers so far belong to other records",
        ),
        (("--backend", "ollama", "--host", "http://127.0.0.1:9", "-n", 6), "127.0.0.1:9"),
        (("--backend", "engine", "-n", 6, "--data", "absent.jsonl"), "absent.jsonl"),
        (
            ("--backend", "engine", "-n", 5, "--resume", "--guard", "on"),
            "what becomes of free text",
        ),
    ],
)
def test_refused_evaluate_leaves_the_folder_unchanged(
    arguments: tuple[object, ...], message: str, finished: Path, finops: Finops
) -> None:
    """A refused call leaves the finished evaluation in the folder complete and unchanged."""
    before = contents(finished)
    done = finops(*CALL, *arguments, "-o", finished)
    assert done.returncode in (2, 3)
    assert message in done.stderr.decode()
    assert contents(finished) == before
    report = json.loads((finished / "evaluation.json").read_bytes())
    assert report["made_from"]["records_sha256"] == before["records.jsonl"]


def test_evaluate_refuses_a_folder_that_is_locked(finished: Path, finops: Finops) -> None:
    """A second evaluation in a folder that another process is writing is refused and changes
    nothing.
    """
    fcntl = pytest.importorskip("fcntl", reason="this system has no such lock")
    with (finished / "evaluation.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = contents(finished)
        done = finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished)
        assert (done.returncode, b"another finops is writing it" in done.stderr) == (2, True)
        assert contents(finished) == before


@pytest.mark.slow
def test_interrupted_evaluation_can_only_be_resumed(finished: Path, finops: Finops) -> None:
    """`compare`, `drift` and a new evaluation refuse an interrupted one. `--resume` completes it to
    the files of an uninterrupted one.
    """
    whole = contents(finished)
    interrupt(finished)
    before = contents(finished)
    for other in (
        ("compare", finished, finished),
        ("drift", finished, "--baseline", finished),
        (*CALL, "--backend", "engine", "-n", 6, "-o", finished),
        ("evaluate", "--stage", "sentiment", "-n", 5, "-o", finished),
    ):
        done = finops(*other)
        assert (done.returncode, b"continue it with --resume" in done.stderr) == (
            2,
            True,
        ), done.stderr
        assert contents(finished) == before
    assert finops(*CALL, "--backend", "engine", "-n", 5, "-o", finished, "--resume").returncode == 0
    assert contents(finished) == whole


def test_new_evaluation_first_removes_the_old_reports(finished: Path, finops: Finops) -> None:
    """A new evaluation removes the reports of the old records before it writes an answer, so a
    failure leaves no false report.
    """
    (finished / "answers.jsonl").unlink()
    (finished / "answers.jsonl").mkdir()
    assert finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished).returncode == 2
    assert not {"evaluation.json", "report.html", "outcomes.jsonl"} & {
        file.name for file in finished.iterdir()
    }


def test_resume_without_answers_removes_the_old_reports(finished: Path, finops: Finops) -> None:
    """`--resume` without usable answers starts again, and the reports of the old records are
    removed first.
    """
    (finished / "answers.jsonl").unlink()
    (finished / "answers.jsonl").mkdir()
    assert finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished, "--resume").returncode == 2
    assert not {"evaluation.json", "report.html", "outcomes.jsonl"} & {
        file.name for file in finished.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "stage", "more"),
    [
        ("sklearn", "sentiment", ()),
        ("presidio_analyzer", "triage", ("--backend", "engine", "--guard", "require")),
    ],
)
def test_missing_package_leaves_evaluation_and_folder_usable(
    package: str, stage: str, more: tuple[str, ...], finished: Path, tmp_path: Path, finops: Finops
) -> None:
    """A missing package ends with exit 3 before anything is changed, and a new folder can be used
    afterwards.
    """
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(notes="call Jane")))
    data = ("--data", str(tmp_path / "fails.jsonl")) if stage == "triage" else ()
    hidden = f"import sys; sys.modules[{package!r}] = None; from finops_cli.cli import main; main()"
    before = contents(finished)
    for folder in (finished, tmp_path / "new"):
        call = [
            sys.executable,
            "-c",
            hidden,
            "evaluate",
            "--stage",
            stage,
            *more,
            *data,
            "-o",
            str(folder),
        ]
        done = subprocess.run(call, capture_output=True, cwd=ROOT, check=False)
        assert (done.returncode, b"-m pip install " in done.stderr) == (3, True), done.stderr
    assert contents(finished) == before
    assert finops(*CALL, "--backend", "engine", "-n", 3, "-o", tmp_path / "new").returncode == 0


def test_changed_records_are_not_graded(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Records that were changed after they were answered are not graded."""
    engine = Engine(kb)
    run_evaluation(tmp_path, kb, engine, rows=3)
    records = tmp_path / "records.jsonl"
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:2]))
    options = SampleOptions(stage="triage", rows=3, seed=7, profile="coverage", data=None)
    with pytest.raises(ResumeRefused, match="belong to other records"):
        conclude(options, tmp_path, engine.origin, None, kb, BaselineOptions(wanted=False))


@pytest.mark.parametrize(
    "name", ["records.jsonl", "answers.jsonl", "report.html", "evaluation.json.bak"]
)
def test_evaluate_overwrites_foreign_files_only_on_request(
    name: str, tmp_path: Path, finops: Finops
) -> None:
    """A file with one of the result names that `finops evaluate` did not write stops the call.
    `--overwrite` replaces it.
    """
    (tmp_path / name).write_text("mine\n")
    call = (*CALL, "--backend", "engine", "-n", 3, "-o", tmp_path)
    done = finops(*call)
    ours = name != "evaluation.json.bak"
    assert (done.returncode, b"was not written by `finops evaluate`" in done.stderr) == (
        (2, True) if ours else (0, False)
    )
    assert (tmp_path / name).read_text() == "mine\n"
    assert finops(*call, "--overwrite").returncode == 0


def test_evaluate_into_a_file_or_dangling_link_is_refused(tmp_path: Path, finops: Finops) -> None:
    """An output path that is a file or a link to a missing folder ends with exit 2."""
    (tmp_path / "file").write_text("mine\n")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("file", "nowhere"):
        done = finops(*CALL, "--backend", "engine", "-n", 3, "-o", tmp_path / name)
        assert (done.returncode, b"is not a folder" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "option",
    [
        ("--profile", "market"),
        ("--resume",),
        ("--prose", "keep"),
        ("--triage-model", "x"),
    ],
)
def test_sentiment_evaluation_refuses_options_without_effect(
    option: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    """`--stage sentiment` refuses an option that has no effect for it, and creates no folder."""
    done = finops("evaluate", "--stage", "sentiment", *option, "-o", tmp_path / "ev")
    assert done.returncode == 2
    message = done.stderr.decode()
    assert "--stage sentiment does not take " in message
    assert option[0] in message
    assert not (tmp_path / "ev").exists()
