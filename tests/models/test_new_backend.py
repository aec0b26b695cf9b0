"""A backend from outside the package: one row of a table makes it answer runs, refuse other options
and take part in `finops doctor`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from finops_cli.cli import app
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import BACKENDS, BackendSpec, NotApplicable, SelectedBackend
from finops_cli.models.diagnosis import Diagnosis, LiveTest
from finops_cli.models.protocol import Answer, Origin
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from tests.support.program import EXAMPLES

MONDAY = str(EXAMPLES / "monday.jsonl")


class Toy:
    """A backend that answers by the rules under its own name."""

    origin = Origin("toy", is_model=False)
    concurrency = 0
    must_alternate = False

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def prepare(self, stage: StageName) -> None: ...

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        return Answer(triage(fail, self._kb))

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        return Answer(resolve(case, self._kb))

    def model_changes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None: ...


def open_toy(_: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    return SelectedBackend(Toy(kb), "as asked", ("the toy is wound up",))


def find_toy(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend | NotApplicable:
    if request.workers is None:
        return NotApplicable("the toy needs workers")
    return open_toy(request, kb)._replace(why="the toy has workers")


def diagnose_toy(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    del request, kb
    yield Diagnosis("toy", "poor" if live_test is None else "ok", "the spring is loose", "wind it")


TOY = BackendSpec(
    name="toy", summary="a toy", open=open_toy, options={}, find=find_toy, diagnose=diagnose_toy
)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command line, with the toy in the table and no server near."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setitem(BACKENDS, "toy", TOY)
    return CliRunner()


def test_new_backend_answers_a_run_and_shows_its_notice(cli: CliRunner) -> None:
    """The new backend answers every record, and its notice is shown."""
    done = cli.invoke(app, ["run", MONDAY, "--backend", "toy"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert {line["provenance"]["backend"] for line in lines} == {"toy"}
    assert lines[0]["triage"]["priority_score"] == 83.2
    assert "the toy is wound up" in done.stderr


def test_new_backend_takes_part_in_auto_in_table_order(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--backend auto` tries backends in the order of the table, and the message names why others
    were skipped.
    """
    engine = BACKENDS["engine"]
    monkeypatch.delitem(BACKENDS, "engine")
    monkeypatch.setitem(BACKENDS, "engine", engine)
    messages = cli.invoke(app, ["run", MONDAY, "--workers", "2"]).stderr
    assert "toy (auto: no Ollama answers at http://127.0.0.1:9;" in messages
    assert "the toy has workers" in " ".join(messages.split())
    without = cli.invoke(app, ["run", MONDAY]).stderr
    assert "engine (auto:" in without
    assert "the toy needs workers" in " ".join(without.split())


def test_new_backend_refuses_options_of_another_backend(cli: CliRunner) -> None:
    """An option of another backend ends with exit 2 and names the backend that takes it."""
    done = cli.invoke(app, ["run", MONDAY, "--backend", "toy", "--host", "127.0.0.1"])
    assert done.exit_code == 2
    assert "--host: only for --backend ollama" in done.stderr
    assert "--backend toy takes no such option" in done.stderr


def test_unknown_backend_lists_the_backends_of_the_table(cli: CliRunner) -> None:
    """An unknown backend ends with exit 2 and the list of backends, the new one included."""
    done = cli.invoke(app, ["run", MONDAY, "--backend", "tyo"])
    assert done.exit_code == 2
    accepted = ", ".join(("auto", *BACKENDS))
    assert "toy" in accepted
    assert f"--backend is tyo. Expected one of: {accepted}." in " ".join(done.stderr.split())


def test_doctor_shows_the_diagnosis_of_a_new_backend(cli: CliRunner) -> None:
    """`finops doctor` shows the diagnosis and the fix of the new backend."""
    done = cli.invoke(app, ["doctor", "--no-live", "--json"])
    [toy] = [found for found in json.loads(done.stdout) if found["what"] == "toy"]
    assert toy == {
        "what": "toy", "state": "poor", "detail": "the spring is loose", "cure": "wind it",
    }  # fmt: skip
