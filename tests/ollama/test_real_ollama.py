"""A real Ollama server, if one with the models answers at OLLAMA_HOST: the real protocol instead of
the fake one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finops_cli.errors import FinopsError
from finops_cli.models.ollama import api
from finops_cli.models.servers.hosts import is_reachable, resolve_hosts
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

TRIAGE = os.environ.get("FINOPS_TEST_TRIAGE", "finops-triage")
RESOLVER = os.environ.get("FINOPS_TEST_RESOLVER", "finops-resolver")
MODELS = ("--backend", "ollama", "--triage-model", TRIAGE, "--resolver-model", RESOLVER)


def has_real_models() -> bool:
    [url] = resolve_hosts(())
    try:
        return is_reachable(url, 0.5) and all(
            api.card(url, name) is not None for name in (TRIAGE, RESOLVER)
        )
    except FinopsError:
        return False


pytestmark = [
    pytest.mark.ollama,
    pytest.mark.skipif(
        not has_real_models(), reason="no Ollama with both models answers at OLLAMA_HOST"
    ),
]


def test_real_ollama_run_passes_the_checker(finops: Finops, tmp_path: Path) -> None:
    """With any models every line is answered, and the checker accepts the output."""
    output = tmp_path / "out.jsonl"
    done = finops(
        "run", EXAMPLES / "monday.jsonl", "-o", output, "--keep-raw", *MODELS, timeout=1800
    )
    assert done.returncode in (0, 1), done.stderr
    assert {line["status"] for line in rows(output.read_bytes())} <= {"ok", "repaired", "fallback"}
    assert finops("check", output, "--fails", EXAMPLES / "monday.jsonl").returncode == 0


def test_real_ollama_runs_answer_the_same_records(finops: Finops) -> None:
    """Two runs give lines for the same records in the same order."""
    one, two = (
        rows(finops("triage", EXAMPLES / "monday.jsonl", *MODELS[:4], timeout=1800).stdout)
        for _ in range(2)
    )
    assert [line["fail_id"] for line in one] == [line["fail_id"] for line in two]


def test_real_ollama_doctor_finds_nothing_broken(finops: Finops) -> None:
    """`finops doctor` of the real server ends with exit 0 and includes a live record."""
    names = ("--triage-model", TRIAGE, "--resolver-model", RESOLVER)
    done = finops("doctor", *names, timeout=1800)
    assert done.returncode == 0, done.stdout
    assert "live record" in done.stdout.decode()
