"""The folder of an evaluation: a call that is refused changes nothing in it, and what stands in it
belongs together.
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
from tests.support.evaluations import evaluated
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl

CALL = ("evaluate", "--stage", "triage", "--no-baselines", "--no-timing", "-q")


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.fixture
def finished(tmp_path: Path, finops: Finops) -> Path:
    """An evaluation of five records by the engine."""
    done = finops(*CALL, "--backend", "engine", "-n", 5, "-o", tmp_path / "ev")
    assert done.returncode == 0, done.stderr
    return tmp_path / "ev"


def interrupted(folder: Path) -> None:
    """As a kill after two records leaves it."""
    answers, note = folder / "answers.jsonl", folder / "answers.jsonl.run.json"
    answers.write_bytes(b"".join(answers.read_bytes().splitlines(keepends=True)[:2]))
    note.write_bytes(note.read_bytes().replace(b'"complete": true', b'"complete": false'))
    for name in ("evaluation.json", "report.html", "outcomes.jsonl"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--backend", "engine", "-n", 6, "--resume"), "other records were asked about so far"),
        (("--backend", "ollama", "--host", "http://127.0.0.1:9", "-n", 6), "127.0.0.1:9"),
        (("--backend", "engine", "-n", 6, "--data", "absent.jsonl"), "absent.jsonl"),
        (
            ("--backend", "engine", "-n", 5, "--resume", "--guard", "on"),
            "what becomes of free text",
        ),
    ],
)
def test_a_refused_call_changes_nothing(
    arguments: tuple[object, ...], says: str, finished: Path, finops: Finops
) -> None:
    """Other records, nobody to ask, no data: the evaluation that stands there is whole, and its
    figures are still of its records.
    """
    before = contents(finished)
    done = finops(*CALL, *arguments, "-o", finished)
    assert done.returncode in (2, 3)
    assert says in done.stderr.decode()
    assert contents(finished) == before
    told = json.loads((finished / "evaluation.json").read_bytes())
    assert told["made_from"]["records_sha256"] == before["records.jsonl"]


def test_another_process_is_kept_out(finished: Path, finops: Finops) -> None:
    """Two at once would mix their records: the second is refused before it writes one."""
    fcntl = pytest.importorskip("fcntl", reason="there is no such lock here")
    with (finished / "evaluation.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = contents(finished)
        done = finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished)
        assert (done.returncode, b"another finops is writing it" in done.stderr) == (2, True)
        assert contents(finished) == before


def test_an_interrupted_evaluation_is_neither_lost_nor_taken_for_a_whole_one(
    finished: Path, finops: Finops
) -> None:
    """It is refused to compare and drift, and to a call that would start over; --resume ends it as
    if nothing had been.
    """
    whole = contents(finished)
    interrupted(finished)
    before = contents(finished)
    for other in (
        ("compare", finished, finished),
        ("drift", finished, "--baseline", finished),
        (*CALL, "--backend", "engine", "-n", 6, "-o", finished),
        ("evaluate", "--stage", "sentiment", "-n", 5, "-o", finished),
    ):
        done = finops(*other)
        assert (done.returncode, b"--resume goes on with it" in done.stderr) == (
            2,
            True,
        ), done.stderr
        assert contents(finished) == before
    assert finops(*CALL, "--backend", "engine", "-n", 5, "-o", finished, "--resume").returncode == 0
    assert contents(finished) == whole


def test_conclusions_about_other_records_go_before_the_first_new_answer(
    finished: Path, finops: Finops
) -> None:
    """Answers cannot be written: what was concluded of the old ones is gone, nothing says that it
    is about the new records.
    """
    (finished / "answers.jsonl").unlink()
    (finished / "answers.jsonl").mkdir()
    assert finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished).returncode == 2
    assert not {"evaluation.json", "report.html", "outcomes.jsonl"} & {
        file.name for file in finished.iterdir()
    }


def test_an_evaluation_that_cannot_go_on_begins_anew(finished: Path, finops: Finops) -> None:
    """--resume where no answers are: what was concluded about other records is gone before the
    first is asked about.
    """
    (finished / "answers.jsonl").unlink()
    (finished / "answers.jsonl").mkdir()
    assert finops(*CALL, "--backend", "engine", "-n", 6, "-o", finished, "--resume").returncode == 2
    assert not {"evaluation.json", "report.html", "outcomes.jsonl"} & {
        file.name for file in finished.iterdir()
    }


@pytest.mark.parametrize(
    ("package", "stage", "more"),
    [
        ("sklearn", "sentiment", ()),
        ("presidio_analyzer", "triage", ("--backend", "engine", "--guard", "require")),
    ],
)
def test_a_missing_package_costs_no_evaluation(
    package: str, stage: str, more: tuple[str, ...], finished: Path, tmp_path: Path, finops: Finops
) -> None:
    """It is missed before anything goes, and a first call that misses it does not make the folder a
    stranger's.
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


def test_answers_to_other_records_are_not_marked(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Records that somebody changed while they were asked about: the answers are to what
    they were.
    """
    engine = Engine(kb)
    evaluated(tmp_path, kb, engine, rows=3)
    records = tmp_path / "records.jsonl"
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:2]))
    asked = SampleOptions("triage", 3, 7, "coverage", None)
    with pytest.raises(ResumeRefused, match="answers other records"):
        conclude(asked, tmp_path, engine.origin, None, kb, BaselineOptions(wanted=False))


@pytest.mark.parametrize(
    "name", ["records.jsonl", "answers.jsonl", "report.html", "evaluation.json.bak"]
)
def test_files_of_other_origin_are_not_overwritten(
    name: str, tmp_path: Path, finops: Finops
) -> None:
    """Under one of our names they stop the call; under another they stay where they are.
    --overwrite is the way to say that they may go.
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


def test_no_folder(tmp_path: Path, finops: Finops) -> None:
    (tmp_path / "file").write_text("mine\n")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("file", "nowhere"):
        done = finops(*CALL, "--backend", "engine", "-n", 3, "-o", tmp_path / name)
        assert (done.returncode, b"is no folder" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "option",
    [
        ("--data", "x.jsonl"),
        ("--backend", "engine"),
        ("--resume",),
        ("--no-baselines",),
        ("--guard", "on"),
    ],
)
def test_sentiment_refuses_what_it_would_not_do(
    option: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    done = finops("evaluate", "--stage", "sentiment", *option, "-o", tmp_path / "ev")
    assert done.returncode == 2
    assert f"--stage sentiment takes no {option[0].replace('--no-', '--')}" in done.stderr.decode()
    assert not (tmp_path / "ev").exists()
