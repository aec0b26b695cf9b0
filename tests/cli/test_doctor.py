"""The command `finops doctor` with a server: its checks, its findings and the fixes that it
suggests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import Changed, FakeOllama, Model
from tests.support.canned_server import CannedServer
from tests.support.program import Finops


def run_doctor(finops: Finops, *arguments: object) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit code, and what was found, by what it is about."""
    done = finops("doctor", "--json", *arguments)
    by: dict[str, list[dict[str, Any]]] = {}
    for diagnosis in json.loads(done.stdout):
        by.setdefault(diagnosis["what"], []).append(diagnosis)
    return done.returncode, by


def test_doctor_of_a_healthy_server_reports_every_check_ok(
    server: FakeOllama, finops: Finops
) -> None:
    """For a healthy server the doctor checks version, models, prompts, memory and one live record,
    and every check is ok.
    """
    code, found = run_doctor(finops, "--host", server.url)
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


def test_doctor_no_live_loads_no_model(server: FakeOllama, finops: Finops) -> None:
    """With `--no-live` the doctor loads no model and tests no record."""
    code, found = run_doctor(finops, "--host", server.url, "--no-live")
    assert (code, server.loads, "live record" in found) == (0, [], False)


def test_doctor_of_an_unreachable_named_server_exits_3(finops: Finops) -> None:
    """A server that was named with `--host` and does not answer gives exit 3 and the command that
    starts it.
    """
    code, found = run_doctor(finops, "--host", "127.0.0.1:9")
    assert (code, found["ollama"][0]["state"]) == (3, "broken")
    assert "ollama serve" in found["ollama"][0]["cure"]


@pytest.mark.parametrize(
    ("version", "state", "message"),
    [
        ("0.29.9", "broken", "too old"),
        ("0.30.2", "poor", "since 0.30.9"),
        ("0.0.0", "ok", "from source"),
        ("0.40.1", "ok", "0.40.1 at"),
    ],
)
def test_doctor_compares_the_server_version_with_its_needs(
    version: str, state: str, message: str, finops: Finops
) -> None:
    """An Ollama version that is too old is broken, one with a known fault is poor, and a sufficient
    one is ok.
    """
    with FakeOllama(version=version) as server:
        code, found = run_doctor(finops, "--host", server.url, "--no-live")
    assert (found["ollama"][0]["state"], message in found["ollama"][0]["detail"]) == (state, True)
    assert code == (3 if state == "broken" else 0)


def test_doctor_of_a_missing_model_names_the_create_command(finops: Finops) -> None:
    """A missing model is broken, the fix is the `finops create` command, and no live record is
    tested.
    """
    with FakeOllama(models=(Model("finops-triage", "qwen35"),)) as server:
        code, found = run_doctor(finops, "--host", server.url)
    assert (code, found["resolver model"][0]["state"]) == (3, "broken")
    assert found["resolver model"][0]["cure"] == "finops create --stage resolver"
    assert "live record" not in found


def test_doctor_of_a_wrong_model_names_the_violated_rule(
    server: FakeOllama, finops: Finops
) -> None:
    """A model with a wrong answer to the live record is poor, and the detail names the violated
    rule.
    """
    server.script = lambda _: Changed(
        lambda answer: {**answer, "priority_score": 1} if "priority_score" in answer else answer
    )
    code, found = run_doctor(finops, "--host", server.url)
    [live] = found["live record"]
    assert (code, live["state"]) == (0, "poor")
    assert "status repaired for score.priority" in live["detail"]


def test_doctor_shows_where_a_template_differs(finops: Finops) -> None:
    """A server template that renders another prompt than finops is poor, and the detail shows the
    difference.
    """
    without_thinking = Model("finops-triage", "qwen35", capabilities=("completion",))
    with FakeOllama(models=(without_thinking, Model("finops-resolver", "qwen3"))) as server:
        _, found = run_doctor(finops, "--host", server.url)
    [triage], [resolver] = found["triage prompt"], found["resolver prompt"]
    assert (triage["state"], resolver["state"]) == ("poor", "ok")
    assert "'<think>\\n\\n</think>\\n\\n', the template ''" in triage["detail"]


def test_doctor_of_another_server_reports_not_ollama(finops: Finops) -> None:
    """A server that does not answer as Ollama does is reported as broken and not Ollama."""
    with CannedServer({"GET /api/version": b"<html>router</html>"}) as other:
        code, found = run_doctor(finops, "--host", other.url)
    assert (code, found["ollama"][0]["state"]) == (3, "broken")
    assert "not Ollama" in found["ollama"][0]["detail"]


def test_doctor_report_is_at_most_100_columns_wide(server: FakeOllama, finops: Finops) -> None:
    """The report is at most 100 columns wide, except for fix commands, which stay on one line to be
    copied.
    """
    lines = finops("doctor", "--host", server.url).stdout.decode().splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith("fix: ")) <= 100
