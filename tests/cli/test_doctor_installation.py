"""The command `finops doctor` for an installation, and the provenance that each output line
records.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from finops_cli import extras
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows


@pytest.mark.slow
def test_doctor_reports_each_missing_extra_with_its_fix(
    finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor reports Python, package, knowledge base, extras and Ollama. A missing optional
    part has a fix and causes no error.
    """
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    done = finops("doctor", "--json")
    found = {piece["what"]: piece for piece in json.loads(done.stdout)}
    assert (done.returncode, found["ollama"]["state"]) == (0, "absent")
    assert "ollama serve" in found["ollama"]["cure"]
    has_llama = found["extra llama"]["state"] == "ok"
    llama = ("triage file", "resolver file", "live record") if has_llama else ("llama.cpp",)
    for_makers = ("dev", "checks", "docs", "browser", "contract")
    for_users = [name for name in extras.names() if name not in for_makers]
    solver = ("CP-SAT",) if find_spec("ortools") is not None else ()
    assert {
        "python",
        "finops",
        "kb",
        *(f"extra {name}" for name in for_users),
        "guard",
        "ollama",
        *llama,
        *solver,
    } == set(found)
    assert all(found[name]["state"] == "ok" for name in ("python", "finops", "kb"))
    assert {found[name]["state"] for name in llama} == {"ok" if has_llama else "absent"}
    for name, piece in found.items():
        if name.startswith("extra") and piece["state"] == "absent":
            assert piece["cure"] == extras.cure(name.removeprefix("extra "))


def test_doctor_of_an_invalid_kb_exits_3(tmp_path: Path, finops: Finops) -> None:
    """A folder without a knowledge base is reported as broken, with exit 3."""
    done = finops("--kb", tmp_path, "doctor")
    assert done.returncode == 3
    assert "broken   kb" in done.stdout.decode()


def test_provenance_names_backend_models_and_kb(finops: Finops) -> None:
    """Each line records backend, models, knowledge base, attempts and latency. With `--no-timing`
    the latency is null.
    """
    [timed] = rows(finops("triage", "-", stdin=jsonl(a_fail())).stdout)
    [untimed] = rows(finops("triage", "-", "--no-timing", stdin=jsonl(a_fail())).stdout)
    provenance = timed["provenance"]
    assert provenance.pop("latency_ms") > 0
    assert untimed["provenance"] == {**provenance, "latency_ms": None}
    assert provenance == {
        "backend": "engine",
        "models": {"triage": None, "resolver": None},
        "kb": provenance["kb"],
        "prompt_sha256": None,
        "attempts": 1,
    }
    assert provenance["kb"] in finops("doctor").stdout.decode()
