"""The doctor at a server: what is well, what is not, and the cure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import Changed, FakeOllama, Model
from tests.support.canned_server import Canned
from tests.support.program import Finops


def _found(finops: Finops, *arguments: object) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit code, and what was found, by what it is about."""
    done = finops("doctor", "--json", *arguments)
    by: dict[str, list[dict[str, Any]]] = {}
    for diagnosis in json.loads(done.stdout):
        by.setdefault(diagnosis["what"], []).append(diagnosis)
    return done.returncode, by


def test_a_healthy_server_is_well_from_version_to_live_record(
    server: FakeOllama, finops: Finops
) -> None:
    """Version, both models with slots and context, prompts equal to ours, one live record, memory
    on the GPU.
    """
    code, found = _found(finops, "--host", server.url)
    assert code == 0
    for what in (
        "ollama",
        "triage model",
        "resolver model",
        "triage prompt",
        "resolver prompt",
        "live record",
        "memory",
    ):
        assert {diagnosis["state"] for diagnosis in found[what]} == {"ok"}, found[what]
    assert "1 request at a time" in found["triage model"][0]["detail"]
    assert "context 2,048 of" in found["triage model"][0]["detail"]
    assert "status ok" in found["live record"][0]["detail"]
    assert len(found["memory"]) == 2


def test_without_live_nothing_is_loaded(server: FakeOllama, finops: Finops) -> None:
    code, found = _found(finops, "--host", server.url, "--no-live")
    assert (code, server.loads, "live record" in found) == (0, [], False)


def test_a_server_that_nobody_named_may_be_absent_and_a_named_one_may_not(finops: Finops) -> None:
    """Exit 3 only for what was asked for; both name the cure."""
    code, found = _found(finops, "--host", "127.0.0.1:9")
    assert (code, found["ollama"][0]["state"]) == (3, "broken")
    assert "ollama serve" in found["ollama"][0]["cure"]


@pytest.mark.parametrize(
    ("version", "state", "says"),
    [
        ("0.29.9", "broken", "too old"),
        ("0.30.2", "poor", "since 0.30.9"),
        ("0.0.0", "ok", "from source"),
        ("0.40.1", "ok", "0.40.1 at"),
    ],
)
def test_versions_are_held_against_what_finops_needs(
    version: str, state: str, says: str, finops: Finops
) -> None:
    with FakeOllama(version=version) as server:
        code, found = _found(finops, "--host", server.url, "--no-live")
    assert (found["ollama"][0]["state"], says in found["ollama"][0]["detail"]) == (state, True)
    assert code == (3 if state == "broken" else 0)


def test_a_missing_model_is_named_with_the_command_that_makes_it(finops: Finops) -> None:
    with FakeOllama(models=(Model("finops-triage", "qwen35"),)) as server:
        code, found = _found(finops, "--host", server.url)
    assert (code, found["resolver model"][0]["state"]) == (3, "broken")
    assert found["resolver model"][0]["cure"] == "finops create --stage resolver"
    assert "live record" not in found


def test_a_model_that_is_wrong_on_the_live_record_is_told(
    server: FakeOllama, finops: Finops
) -> None:
    """It works, but not as it should: the rule that it broke is named."""
    server.script = lambda _: Changed(
        lambda answer: {**answer, "priority_score": 1} if "priority_score" in answer else answer
    )
    code, found = _found(finops, "--host", server.url)
    [live] = found["live record"]
    assert (code, live["state"]) == (0, "poor")
    assert "status repaired for score.priority" in live["detail"]


def test_a_template_that_renders_otherwise_is_shown_where_it_differs(finops: Finops) -> None:
    """finops sends its own prompt; whoever uses `ollama run` has another."""
    without_thinking = Model("finops-triage", "qwen35", capabilities=("completion",))
    with FakeOllama(models=(without_thinking, Model("finops-resolver", "qwen3"))) as server:
        _, found = _found(finops, "--host", server.url)
    [triage], [resolver] = found["triage prompt"], found["resolver prompt"]
    assert (triage["state"], resolver["state"]) == ("poor", "ok")
    assert "'<think>\\n\\n</think>\\n\\n', the template ''" in triage["detail"]


def test_what_is_no_ollama_is_told(finops: Finops) -> None:
    with Canned({"GET /api/version": b"<html>router</html>"}) as other:
        code, found = _found(finops, "--host", other.url)
    assert (code, found["ollama"][0]["state"]) == (3, "broken")
    assert "not Ollama" in found["ollama"][0]["detail"]


def test_a_person_reads_it_within_100_columns(server: FakeOllama, finops: Finops) -> None:
    """A command that fixes something stays on one line, so that it can be copied."""
    lines = finops("doctor", "--host", server.url).stdout.decode().splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith("fix: ")) <= 100
