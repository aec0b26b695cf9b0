"""Several servers as one, slots and turns, servers that go and come back, and servers that are
refused before anything is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    BadRequest,
    Behaviour,
    Busy,
    CorrectAnswer,
    Crash,
    FakeOllama,
    Hang,
    Model,
    NotFound,
)
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.jsonl import Batch
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import NoEndpointLeft
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import process_with_models
from finops_cli.pipeline.stages import SEQUENCES
from tests.support.cures import cured_by
from tests.support.ollama_models import (
    INVENTORY,
    a_model_at,
    a_record,
    asked_of,
    chosen_at,
    first_ones,
    triaged_at,
    warms_up,
)
from tests.support.records import a_fail, jsonl


def test_a_server_that_stays_down_ends_the_run_and_says_why(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    """The breaker opens, tries the endpoint a bounded number of times, and gives it up."""
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.stop()
    with pytest.raises(NoEndpointLeft, match="cannot be reached", check=cured_by("ollama serve")):
        model.triage(a_record())


def test_a_model_that_disappears_ends_the_run(server: FakeOllama, quick: KnowledgeBase) -> None:
    """404 holds the endpoint back at once, and for good when the model is still not there after the
    pause.
    """
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.script = lambda _: NotFound()
    with pytest.raises(
        NoEndpointLeft, match="model 'finops-triage' not found", check=cured_by("finops create")
    ):
        model.triage(a_record())
    assert [warms_up(request) for request in server.received] == [
        True,
        True,
        False,
        True,
    ]  # the last tries the endpoint out


def test_a_model_that_is_only_made_anew_is_waited_for(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    """One 404 while a model is replaced costs no record its answer."""
    answer = triaged_at(server, quick, first_ones(NotFound(), times=1))
    assert (answer.status, answer.attempt_errors[0].server) == ("ok", ("reply.model_missing",))


@pytest.mark.parametrize("behaviour", [Crash(), BadRequest("no"), Busy(), Hang()])
@pytest.mark.parametrize("poisoned", [range(3, 9), range(14, 20)])
def test_records_that_a_server_fails_on_do_not_take_it_from_the_others(
    behaviour: Behaviour, poisoned: range, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """Six poisoned records in a row open the breaker; the warm-up tries the endpoint out, so they
    settle and the rest is answered.
    """
    words = {f"Qty: {5000 + n} " for n in poisoned}
    server.script = lambda request: (
        behaviour if any(word in request.prompt for word in words) else CorrectAnswer()
    )
    model = a_model_at(quick, server.url, stages=("triage",), timeout=0.3)
    statuses = _statuses(model, quick, 20)
    assert [n for n, status in enumerate(statuses) if status != "ok"] == list(poisoned)


def test_a_server_that_comes_back_is_used_again(server: FakeOllama, quick: KnowledgeBase) -> None:
    """While it is away the record waits; it costs it none of its attempts."""
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.stop()
    back = threading.Timer(0.15, server.start)
    back.start()
    answer = model.triage(a_record())
    back.join()
    assert (answer.status, answer.attempts) == ("ok", 1)
    assert set(answer.attempt_errors[0].server) == {"reply.unreachable"}


def _blotter(count: int) -> Iterator[Batch]:
    fails = [a_fail(fail_id=f"F-{n}", qty=5000 + n, inventory=INVENTORY) for n in range(count)]
    return (Batch(n, [jsonl(fail).strip()], n) for n, fail in enumerate(fails, start=1))


def _statuses(model: Backend, kb: KnowledgeBase, count: int, stage: Any = "triage") -> list[str]:
    desk = Pipeline(SEQUENCES[stage], model, kb, timed=False)
    done = list(process_with_models(_blotter(count), desk))
    assert [one.first for one in done] == list(range(1, count + 1))
    return [status for one in done for status in one.summary.statuses]


def test_records_are_spread_over_servers_and_a_dead_one_is_left_to_the_others(
    quick: KnowledgeBase,
) -> None:
    """Two servers share the work; when one falls over, the other does all of it, and nothing is
    lost.
    """
    with ExitStack() as stack:
        first, second = (stack.enter_context(FakeOllama(token_seconds=0.0002)) for _ in range(2))
        model = a_model_at(quick, first.url, second.url, stages=("triage",))
        assert set(_statuses(model, quick, 30)) == {"ok"}
        assert min(asked_of(first), asked_of(second)) > 5
        second.stop()
        assert set(_statuses(model, quick, 30)) == {"ok"}


@pytest.mark.parametrize(("architecture", "at_once"), [("qwen35", 1), ("qwen3", 4)])
def test_as_many_requests_at_once_as_the_architecture_takes(
    architecture: str, at_once: int, quick: KnowledgeBase
) -> None:
    """kb: model.serial_architectures. More requests to a model with one slot would only queue."""
    models = (Model("finops-triage", architecture), Model("finops-resolver", "qwen3"))
    with FakeOllama(models=models, token_seconds=0.0005) as server:
        model = a_model_at(quick, server.url, stages=("triage",), workers=4)
        assert set(_statuses(model, quick, 24)) == {"ok"}
        assert server.most_at_once["finops-triage"] == at_once


def test_a_full_queue_is_met_with_fewer_requests(quick: KnowledgeBase) -> None:
    """503 is no failure of a record: all are answered, by a server that takes two and lets none
    wait.
    """
    models = (Model("finops-triage", "qwen3"), Model("finops-resolver", "qwen3"))
    with FakeOllama(models=models, num_parallel=2, max_queue=0, token_seconds=0.0005) as server:
        model = a_model_at(quick, server.url, stages=("triage",), workers=8)
        assert set(_statuses(model, quick, 30)) == {"ok"}


@pytest.mark.parametrize("fits_both", [True, False])
def test_models_take_turns_where_only_one_fits(fits_both: bool, quick: KnowledgeBase) -> None:
    """kb: model.alternation_batch.

    A chunk passes stage 1 before stage 2 begins: as many loads as chunks, not as records.
    """
    with FakeOllama(fits_both=fits_both) as server:
        model = a_model_at(quick, server.url)
        assert set(_statuses(model, quick, 70, "run")) == {"ok"}
        assert model.must_alternate != fits_both
        stages = [request.model for request in server.received if not warms_up(request)]
        if fits_both:
            assert len(server.loads) == 2
        else:
            assert stages[:64] == ["finops-triage"] * 64
            assert len(server.loads) <= 7


def test_a_missing_model_names_its_cure(quick: KnowledgeBase) -> None:
    with (
        FakeOllama(models=(Model("finops-triage", "qwen35"),)) as server,
        pytest.raises(MissingPiece, check=cured_by("finops create --stage resolver")),
    ):
        a_model_at(quick, server.url)


def test_an_old_server_is_refused_with_the_reason(quick: KnowledgeBase) -> None:
    with (
        FakeOllama(version="0.29.1") as server,
        pytest.raises(MissingPiece, match=r"0\.29\.1 is too old"),
    ):
        a_model_at(quick, server.url)


def test_servers_with_different_models_under_one_name_are_refused(quick: KnowledgeBase) -> None:
    """One run, one model: its digest goes into every line."""
    other = (
        Model("finops-triage", "qwen35", layer_digest="sha256:" + "f" * 64),
        Model("finops-resolver", "qwen3"),
    )
    with (
        FakeOllama() as first,
        FakeOllama(models=other) as second,
        pytest.raises(UsageError, match="not the same model everywhere"),
    ):
        a_model_at(quick, first.url, second.url)


def test_one_dead_server_of_two_is_left_out_with_a_notice(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    with FakeOllama() as other:
        dead = other.url
    chosen = chosen_at(quick, "ollama", dead, server.url)
    assert [notice for notice in chosen.notices if dead in notice]


@pytest.mark.parametrize("host", ["http://8.8.8.8:11434", "https://1.1.1.1"])
def test_an_address_outside_the_house_is_refused_before_anything_is_sent(
    host: str, quick: KnowledgeBase
) -> None:
    """kb: model.external_servers."""
    with pytest.raises(UsageError, match="may not leave the house"):
        a_model_at(quick, host)


def test_no_proxy_of_the_environment_sees_a_record(
    server: FakeOllama, quick: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that HTTP_PROXY names would carry records out of the house."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert triaged_at(server, quick, lambda _: CorrectAnswer()).status == "ok"


def test_auto_takes_ollama_where_it_has_the_models_and_says_why_not_otherwise(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    """Contracts, section 1."""
    there = chosen_at(quick, "auto", server.url)
    assert (there.backend.origin.name, "has the models" in there.why) == ("ollama", True)
    lacking = chosen_at(quick, "auto", server.url, triage_model="other")
    assert (lacking.backend.origin.name, "has no model other" in lacking.why) == ("engine", True)
    server.stop()
    away = chosen_at(quick, "auto", server.url)
    assert (away.backend.origin.name, "no Ollama answers" in away.why) == ("engine", True)


def test_records_are_asked_in_their_order(server: FakeOllama, quick: KnowledgeBase) -> None:
    """First come, first served: no record waits while later ones go by."""
    model = a_model_at(quick, server.url, stages=("triage",))
    assert set(_statuses(model, quick, 40)) == {"ok"}
    asked = [
        request.prompt.partition("Qty: ")[2].split(" ")[0]
        for request in server.received
        if not warms_up(request)
    ]
    assert all(abs(int(qty) - 5000 - n) <= 2 for n, qty in enumerate(asked))


def test_a_hung_server_holds_up_neither_the_start_nor_the_others(quick: KnowledgeBase) -> None:
    """Warm-ups go side by side; a server that fails its own is left to the breaker, and decides
    nothing about turns.
    """
    with FakeOllama() as well, FakeOllama(script=lambda _: Hang()) as hung:
        model = a_model_at(quick, hung.url, well.url, timeout=0.3)
        assert set(_statuses(model, quick, 12, "run")) <= {"ok", "fallback"}
        assert not model.must_alternate
