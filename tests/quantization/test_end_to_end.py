"""From nothing to a model's answer: generate, train, quantize, and run the file with llama.cpp and
through a server. The tiny models know a few rows by heart. All commands run in the process of the
tests, which loads PyTorch once.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from tests.support.program import EXAMPLES, call_finops
from tests.support.records import rows

NEEDED = ("trl", "llama_cpp", "llguidance")
LACKING = [name for name in NEEDED if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(LACKING), reason=f"needs {', '.join(LACKING)}: pip install -e '.[train,export,llama]'"
)

LEARNT = {"triage": (2, 60), "resolver": (1, 90)}
"""Rows, and steps to learn them in."""
BY_HEART = (
    "data.source=file",
    "data.format=card",
    "data.mix=null",
    "base.scratch.hidden_size=128",
    "base.scratch.intermediate_size=256",
    "base.scratch.layers=1",
    "base.scratch.heads=4",
    "base.scratch.kv_heads=2",
    "base.scratch.head_dim=32",
    "base.scratch.start=null",
    "base.scratch.weights=null",
    "base.tokenizer=null",
    "training.tokens=null",
    "training.optimizer=adamw_torch",
    "training.muon=null",
    "training.scheduler=cosine",
    "training.hold=null",
    "training.max_length=5120",
    "training.learning_rate=6e-3",
    "training.log_every=50",
    "evaluation.samples=1",
    "evaluation.new_tokens=4",
    "evaluation.loss_rows=1",
)
"""Over preset tiny-cpu: 0.3 million parameters, the rows of `finops generate` as they are, and none
of what the models that ship begin with.
"""
Models = dict[str, Path]


def run_command(*arguments: object, code: int = 0) -> bytes:
    done = call_finops(*arguments)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end-to-end")


@pytest.fixture(scope="module")
def models(folder: Path) -> Models:
    """A model file for each stage, made by the finops commands, with its training rows in
    `learnt-STAGE.jsonl`.
    """
    made: Models = {}
    for stage, (learnt, steps) in LEARNT.items():
        data = folder / stage
        call_finops(
            "generate", "--stage", stage, "-n", 40, "-o", data, "-q"
        )  # exit 1: so few rows do not meet the requirements about proportions
        keep_shortest(learnt, data / f"{stage}-train.jsonl", folder / f"learnt-{stage}.jsonl")
        sizes = (
            f"data.modelfile={stage}",
            f"base.vocabulary={{size: 600, rows: {{{stage}: {learnt}}}}}",
            f"training.batch={learnt}",
            f"training.max_steps={steps}",
            f"evaluation.every={steps}",
        )
        flags = [
            part for flag in (*BY_HEART, *sizes, f"data.folder={data}") for part in ("--set", flag)
        ]
        run_command(
            "train",
            "--stage",
            stage,
            "--preset",
            "tiny-cpu",
            *flags,
            "-o",
            data / "run",
            "-q",
        )
        call = (
            "--base",
            data / "run/model",
            "--type",
            "q8_0",
            "--eval",
            data / f"{stage}-eval.jsonl",
            "--rows",
            1,
        )
        manifest = json.loads(
            run_command("quantize", "--stage", stage, *call, "-o", data, "--json", "-q")
        )
        made[stage] = data / manifest["outputs"][0]["name"]
    return made


def keep_shortest(count: int, path: Path, learnt: Path) -> None:
    """Leave the `count` rows with the shortest answers in the training set, and write their records
    to `learnt`.
    """
    kept = sorted(
        path.read_text().splitlines(),
        key=lambda line: len(json.loads(line)["completion"][0]["content"]),
    )[:count]
    path.write_text("\n".join(kept) + "\n")
    learnt.write_text("".join(json.loads(line)["record"] + "\n" for line in kept))


def check_lines(fails: Path, output: Path) -> list[dict[str, Any]]:
    """Return the lines of `output` after checking them. Their raw answers have findings exactly
    where a line is not ok.
    """
    run_command("check", output, "--fails", fails)
    lines = rows(output.read_bytes())
    verdicts = rows(call_finops("check", output, "--raw", "--fails", fails).stdout)
    assert [verdict["ok"] for verdict in verdicts] == [line["status"] == "ok" for line in lines]
    return lines


def run_each_stage(folder: Path, *backend: object) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of each command: each stage with its learnt records, and both with an unseen
    fail.
    """
    unseen = folder / "unseen.jsonl"
    unseen.write_text((EXAMPLES / "monday.jsonl").read_text().splitlines()[0] + "\n")
    inputs = {
        "triage": folder / "learnt-triage.jsonl",
        "resolve": folder / "learnt-resolver.jsonl",
        "run": unseen,
    }
    found = {}
    for command, fails in inputs.items():
        output = folder / f"{command}-{backend[1]}.jsonl"
        run_command(
            command,
            fails,
            *backend,
            "-o",
            output,
            "--keep-raw",
            "--guard",
            "off",
            "-q",
            code=int(command == "run"),
        )
        found[command] = check_lines(fails, output)
    return found


def test_trained_models_answer_by_llama_cpp(
    models: Models, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With llama.cpp the answers to learnt records are ok, and those to unseen records are repaired
    or replaced.
    """
    for stage, file in models.items():
        monkeypatch.setenv(f"FINOPS_{stage.upper()}_GGUF", str(file))
    found = run_each_stage(folder, "--backend", "llama-cpp")
    assert [line["status"] for command in ("triage", "resolve") for line in found[command]] == [
        "ok"
    ] * 3
    assert {line["status"] for line in found["run"]} <= {"repaired", "fallback"}
    assert {line["provenance"]["models"]["triage"] for line in found["run"]} == {
        models["triage"].name
    }


def test_trained_models_answer_through_a_server(models: Models, folder: Path) -> None:
    """`finops create` sends the files to a server, whose answers have the same statuses."""
    with FakeOllama(models=(), runs_uploads=True) as server:
        for stage, file in models.items():
            run_command(
                "create",
                "--stage",
                stage,
                "--gguf",
                file,
                "--host",
                server.url,
                "-q",
                "--no-try",
            )
        found = run_each_stage(folder, "--backend", "ollama", "--host", server.url)
    assert [line["status"] for command in ("triage", "resolve") for line in found[command]] == [
        "ok"
    ] * 3
    assert {line["status"] for line in found["run"]} <= {"repaired", "fallback"}
    assert {request.stage for request in server.received} == {"triage", "resolver"}
