"""Against a real Ollama server, where one answers at OLLAMA_HOST and has the models: the protocol
as it is, not as the fake Ollama has it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finops_cli.errors import FinopsError
from finops_cli.models.ollama import api
from finops_cli.models.ollama.hosts import is_reachable, resolve_hosts
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

TRIAGE = os.environ.get("FINOPS_TEST_TRIAGE", "finops-triage")
RESOLVER = os.environ.get("FINOPS_TEST_RESOLVER", "finops-resolver")
MODELS = ("--backend", "ollama", "--triage-model", TRIAGE, "--resolver-model", RESOLVER)


def _there() -> bool:
    [url] = resolve_hosts(())
    try:
        return is_reachable(url, 0.5) and all(
            api.card(url, name) is not None for name in (TRIAGE, RESOLVER)
        )
    except FinopsError:
        return False


pytestmark = [
    pytest.mark.ollama,
    pytest.mark.skipif(not _there(), reason="no Ollama with both models answers at OLLAMA_HOST"),
]


def test_every_line_is_answered_and_passes_the_checker(finops: Finops, tmp_path: Path) -> None:
    """However good the models are: lines in = lines out, and what stands is right."""
    output = tmp_path / "out.jsonl"
    done = finops(
        "run", EXAMPLES / "monday.jsonl", "-o", output, "--keep-raw", *MODELS, timeout=1800
    )
    assert done.returncode in (0, 1), done.stderr
    assert {line["status"] for line in rows(output.read_bytes())} <= {"ok", "repaired", "fallback"}
    assert finops("check", output, "--fails", EXAMPLES / "monday.jsonl").returncode == 0


def test_the_same_seed_asks_the_same(finops: Finops) -> None:
    """A second run gives lines for the same records; that their bytes are equal, no server
    promises.
    """
    one, two = (
        rows(finops("triage", EXAMPLES / "monday.jsonl", *MODELS[:4], timeout=1800).stdout)
        for _ in range(2)
    )
    assert [line["fail_id"] for line in one] == [line["fail_id"] for line in two]


def test_doctor_finds_nothing_broken(finops: Finops) -> None:
    names = ("--triage-model", TRIAGE, "--resolver-model", RESOLVER)
    done = finops("doctor", *names, timeout=1800)
    assert done.returncode == 0, done.stdout
    assert "live record" in done.stdout.decode()
