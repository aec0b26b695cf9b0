"""The bundled models: they are found in an installed finops, used where no file is named, and
loaded only on request.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from finops_cli.models.prompts import prompts_sha256
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.llama

FILES = ("tiny-triage.gguf", "tiny-resolver.gguf")
EMBEDDED = pytest.mark.skipif(
    find_spec("llguidance") is None, reason="needs llama.cpp: pip install -e '.[llama]'"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """finops as a wheel installs it, with a real model of random weights for each stage."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(
        ROOT / "finops_cli", folder / "finops_cli", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("kb", "modelfiles", "training"):
        shutil.copytree(ROOT / name, folder / "finops_cli/_data" / name)
    (folder / "finops_cli/_data/bundled_models").mkdir()
    for name in FILES:
        write_tiny_gguf(
            folder / "finops_cli/_data/bundled_models" / name, made_for=name.removesuffix(".gguf")
        )
    return folder


@pytest.fixture
def installed(site: Path, tmp_path: Path) -> Finops:
    """Run the installed finops without an Ollama server and without model files in the
    environment.
    """

    def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FINOPS_")
        }
        environment |= {"PYTHONPATH": str(site), "OLLAMA_HOST": "127.0.0.1:9"}
        command = [sys.executable, "-m", "finops_cli", *map(str, arguments)]
        return subprocess.run(
            command, input=stdin, capture_output=True, env=environment, cwd=tmp_path, check=False
        )

    return run


def messages(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode().split())


@EMBEDDED
def test_bundled_models_answer_when_no_file_is_named(installed: Finops) -> None:
    """Without a file option llama.cpp uses the bundled models. The lines have their names, digests
    and prompts, and stderr names them once, also with `--quiet`.
    """
    done = installed(
        "run",
        "-",
        "--backend",
        "llama-cpp",
        "--quiet",
        "--guard",
        "off",
        stdin=jsonl(a_fail(), a_fail()),
    )
    assert done.returncode == 1, done.stderr
    lines = rows(done.stdout)
    assert [line["provenance"]["models"]["triage"] for line in lines] == ["tiny-triage.gguf"] * 2
    assert {line["provenance"]["prompt_sha256"] for line in lines} == {
        prompts_sha256(["tiny-triage", "tiny-resolver"])
    }
    assert (
        messages(done).count(
            "the small models that ship with finops answer (tiny-triage.gguf and"
            " tiny-resolver.gguf)"
        )
        == 1
    )


@EMBEDDED
def test_named_model_file_replaces_all_bundled_models(installed: Finops, tmp_path: Path) -> None:
    """A named file replaces the bundled models. If a run needs a second file it must be
    named too.
    """
    file = write_tiny_gguf(tmp_path / "mine.gguf")
    done = installed(
        "triage", "-", "--backend", "llama-cpp", "--triage-gguf", file, stdin=jsonl(a_fail())
    )
    assert [line["provenance"]["models"]["triage"] for line in rows(done.stdout)] == ["mine.gguf"]
    assert "ship with finops" not in messages(done)
    done = installed(
        "run", "-", "--backend", "llama-cpp", "--triage-gguf", file, stdin=jsonl(a_fail())
    )
    assert (done.returncode, "add --resolver-gguf FILE" in messages(done)) == (2, True)
    assert re.search(r"ships small models: --resolver-gguf /\S+/tiny-resolver.gguf", messages(done))


@pytest.mark.slow
def test_auto_backend_does_not_use_bundled_models(installed: Finops) -> None:
    """`--backend auto` uses the engine rather than the bundled models."""
    done = installed("run", "-", stdin=jsonl(a_fail()))
    assert [line["provenance"]["backend"] for line in rows(done.stdout)] == ["engine"]
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_run_without_a_bundled_model_requires_the_files(site: Path, installed: Finops) -> None:
    """If a bundled model is missing, a run with llama.cpp requires both files to be named."""
    folder = site / "finops_cli/_data/bundled_models"
    hidden = (folder / FILES[1]).rename(folder / "hidden")
    try:
        done = installed("run", "-", "--backend", "llama-cpp", stdin=jsonl(a_fail()))
    finally:
        hidden.rename(folder / FILES[1])
    assert (
        done.returncode,
        "add --triage-gguf FILE and --resolver-gguf FILE" in messages(done),
    ) == (2, True)
    assert re.search(r"ships small models: --triage-gguf /\S+/tiny-triage.gguf", messages(done))


@pytest.mark.slow
def test_doctor_and_models_list_the_bundled_models(installed: Finops) -> None:
    """`finops doctor` and `finops models` list the bundled models, and a missing llama.cpp is not
    reported as their fault.
    """
    done = installed("doctor", "--json", "--no-live")
    assert done.returncode == 0
    found = {piece["what"]: piece for piece in json.loads(done.stdout)}
    if find_spec("llguidance") is None:
        assert found["llama.cpp"]["state"] == "absent"
    else:
        assert "tiny-triage.gguf" in found["triage file"]["detail"]
    listed = installed("models", "--json")
    [here] = json.loads(listed.stdout)
    assert (here["host"], listed.returncode) == (
        None,
        3,
    )  # no Ollama answers, and the message says so
    assert [(model["name"], model["stage"], model["quantization"]) for model in here["models"]] == [
        ("tiny-triage.gguf", "triage", "F32"),
        ("tiny-resolver.gguf", "resolver", "F32"),
    ]
    assert "for --backend llama-cpp" in installed("models").stdout.decode()
