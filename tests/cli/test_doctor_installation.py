"""What the doctor says of an installation, and provenance of the rules that it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli import extras
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows


def test_doctor_reports_each_piece_and_its_cure(
    finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python, package, knowledge base, every extra, and Ollama; what is absent names its cure, and
    nothing is broken by it.
    """
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    done = finops("doctor", "--json")
    found = {piece["what"]: piece for piece in json.loads(done.stdout)}
    assert (done.returncode, found["ollama"]["state"]) == (0, "absent")
    assert "ollama serve" in found["ollama"]["cure"]
    has_llama = found["extra llama"]["state"] == "ok"
    llama = ("triage file", "resolver file", "live record") if has_llama else ("llama.cpp",)
    assert {
        "python",
        "finops",
        "kb",
        "extra data",
        "extra evaluate",
        "extra export",
        "extra llama",
        "extra train",
        "extra unsloth",
        "extra guard",
        "guard",
        "ollama",
        *llama,
    } == set(found)
    assert all(found[name]["state"] == "ok" for name in ("python", "finops", "kb"))
    assert {found[name]["state"] for name in llama} == {"ok" if has_llama else "absent"}
    for name, piece in found.items():
        if name.startswith("extra") and piece["state"] == "absent":
            assert piece["cure"] == extras.cure(name.removeprefix("extra "))


def test_doctor_finds_a_broken_knowledge_base(tmp_path: Path, finops: Finops) -> None:
    done = finops("--kb", tmp_path, "doctor")
    assert done.returncode == 3
    assert "broken   kb" in done.stdout.decode()


def test_provenance_says_who_answered_by_which_rules(finops: Finops) -> None:
    """Backend, models, rules version, attempts and latency on every line; latency is null on
    request.
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
