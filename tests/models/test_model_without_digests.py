"""A language model without digests, as behind a remote API: its records are guarded, and its
answers are graded like those of any model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from finops_cli.cli import app
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import BACKENDS, BackendSpec, SelectedBackend
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from tests.support.records import a_fail, jsonl
from tests.support.text_models import ScriptedModel, correct_answer

PRIVATE = "call Jane Doe 555-867-5309, SSN 078-05-1120"


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """Add a backend without digests to the table; return its model, which keeps what it was asked.

    Its triages have a wrong field.
    """
    model = ScriptedModel(lambda request, _: wrong_answer(request))
    model.origin = model.origin._replace(name="remote", digests=None)

    def open_remote(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
        return SelectedBackend(VerifiedBackend(model, kb, request.on_violation), "as asked")

    row = BackendSpec(name="remote", summary="a remote API", open=open_remote, options={})
    monkeypatch.setitem(BACKENDS, "remote", row)
    return model


def wrong_answer(request: CompletionRequest) -> str:
    def flip(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"category_priority_override": not answer["category_priority_override"]}

    change = flip if request.stage == "triage" else None
    return correct_answer(request, load_kb(bundled_kb_dir()), change)


def test_model_without_digests_sees_no_personal_data(tmp_path: Path, remote: ScriptedModel) -> None:
    """The guard masks each record before the model gets it, or nothing is sent."""
    blotter = tmp_path / "fails.jsonl"
    blotter.write_bytes(jsonl(a_fail(notes=PRIVATE)))
    CliRunner().invoke(app, ["run", str(blotter), "--backend", "remote"])
    CliRunner().invoke(app, ["run", str(blotter), "--backend", "remote", "--guard", "on"])
    prompts = " ".join(request.prompt for request in remote.requests)
    assert prompts
    assert not [part for part in ("867-5309", "078-05-1120") if part in prompts]


def test_model_without_digests_is_counted_as_a_model(tmp_path: Path, remote: ScriptedModel) -> None:
    """The line lists the attempt with an error, and the summary counts the model's correct
    answers.
    """
    blotter = tmp_path / "fails.jsonl"
    blotter.write_bytes(jsonl(a_fail()))
    done = CliRunner().invoke(app, ["triage", str(blotter), "--backend", "remote"])
    provenance = json.loads(done.stdout)["provenance"]
    assert provenance["attempt_errors"][0]["stage"] == "triage"
    assert "digests" not in provenance
    assert "triage model 0 of 1 correct on the first answer" in done.stderr


@pytest.mark.slow
def test_model_without_digests_is_graded_as_a_model(tmp_path: Path, remote: ScriptedModel) -> None:
    """The model's first answers are graded as wrong, and no report calls the model the
    reference.
    """
    folder = tmp_path / "evaluation"
    call = ["evaluate", "--stage", "triage", "--backend", "remote", "-n", "40", "-o", str(folder)]
    call += ["--no-baselines"]
    done = CliRunner().invoke(app, call)
    assert "The engine is the reference itself" not in done.output
    outcomes = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
    assert {outcome["first"] for outcome in outcomes} == {"wrong"}
