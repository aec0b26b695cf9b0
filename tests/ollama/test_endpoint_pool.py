"""The endpoint pool: several servers as one backend, with slots, alternation, servers that fail and
return, and refused servers.
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
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.cures import cured_by
from tests.support.ollama_models import (
    INVENTORY,
    a_model_at,
    a_record,
    count_requests,
    fail_first,
    is_warm_up,
    select_backend_at,
    triage_at,
)
from tests.support.records import a_fail, jsonl


def test_pool_with_its_only_server_down_raises(server: FakeOllama, quick: KnowledgeBase) -> None:
    """A server that stays down is tried a limited number of times. Then NoEndpointLeft gives the
    cause and the fix.
    """
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.stop()
    with pytest.raises(NoEndpointLeft, match="cannot be reached", check=cured_by("ollama serve")):
        model.triage(a_record())


def test_pool_whose_model_disappears_raises(server: FakeOllama, quick: KnowledgeBase) -> None:
    """A 404 stops the endpoint at once, and for good if the model is still missing after
    the pause.
    """
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.script = lambda _: NotFound()
    with pytest.raises(
        NoEndpointLeft, match="model 'finops-triage' not found", check=cured_by("finops create")
    ):
        model.triage(a_record())
    assert [is_warm_up(request) for request in server.received] == [
        True,
        True,
        False,
        True,
    ]  # the last tries the endpoint out


def test_pool_waits_for_a_model_that_is_replaced(server: FakeOllama, quick: KnowledgeBase) -> None:
    """A single 404 while a model is replaced costs no record its answer."""
    answer = triage_at(server, quick, fail_first(NotFound(), times=1))
    assert (answer.status, answer.attempt_errors[0].server) == ("ok", ("reply.model_missing",))


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [Crash(), BadRequest("no"), Busy(), Hang()])
@pytest.mark.parametrize("poisoned", [range(3, 9), range(14, 20)])
def test_pool_recovers_after_records_that_fail(
    behaviour: Behaviour, poisoned: range, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """Six failing records in a row open the breaker. A warm-up request closes it, so all other
    records are answered.
    """
    words = {f"Qty: {5000 + n} " for n in poisoned}
    server.chunk_tokens = 1000
    server.script = lambda request: (
        behaviour if any(word in request.prompt for word in words) else CorrectAnswer()
    )
    timeout = 1 if isinstance(behaviour, Hang) else 30  # answers come late on a busy machine
    model = a_model_at(quick, server.url, stages=("triage",), timeout=timeout)
    statuses = run_statuses(model, quick, 20)
    assert [n for n, status in enumerate(statuses) if status != "ok"] == list(poisoned)


def test_pool_waits_for_a_server_that_returns(server: FakeOllama, quick: KnowledgeBase) -> None:
    """While its server is down a record waits, and the wait does not count as an attempt."""
    model = a_model_at(quick, server.url, stages=("triage",))
    model.prepare("triage")
    server.stop()
    back = threading.Timer(0.15, server.start)
    back.start()
    answer = model.triage(a_record())
    back.join()
    assert (answer.status, answer.attempts) == ("ok", 1)
    assert set(answer.attempt_errors[0].server) == {"reply.unreachable"}


def make_batches(count: int) -> Iterator[Batch]:
    fails = [a_fail(fail_id=f"F-{n}", qty=5000 + n, inventory=INVENTORY) for n in range(count)]
    return (Batch(n, [jsonl(fail).strip()], n) for n, fail in enumerate(fails, start=1))


def run_statuses(model: Backend, kb: KnowledgeBase, count: int, stage: Any = "triage") -> list[str]:
    desk = Pipeline(SEQUENCES[stage], model, kb, timed=False)
    done = list(process_with_models(make_batches(count), desk))
    assert [one.first for one in done] == list(range(1, count + 1))
    return [status for one in done for status in one.summary.statuses]


@pytest.mark.slow
def test_pool_of_two_servers_survives_the_loss_of_one(
    quick: KnowledgeBase,
) -> None:
    """Two servers share the records. After one stops, the other answers all of them."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(FakeOllama(chunk_tokens=8, token_seconds=0.0002)) for _ in range(2)
        )
        model = a_model_at(quick, first.url, second.url, stages=("triage",))
        assert set(run_statuses(model, quick, 30)) == {"ok"}
        assert min(count_requests(first), count_requests(second)) > 5
        second.stop()
        assert set(run_statuses(model, quick, 30)) == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "at_once"), [("qwen35", 1), ("qwen3", 4)])
def test_pool_sends_as_many_requests_as_the_model_has_slots(
    architecture: str, at_once: int, quick: KnowledgeBase
) -> None:
    """A model of a serial architecture gets one request at a time (kb:
    model.serial_architectures).
    """
    models = (Model("finops-triage", architecture), Model("finops-resolver", "qwen3"))
    with FakeOllama(models=models, chunk_tokens=8, token_seconds=0.0005) as server:
        model = a_model_at(quick, server.url, stages=("triage",), workers=4)
        assert set(run_statuses(model, quick, 24)) == {"ok"}
        assert server.most_at_once["finops-triage"] == at_once


@pytest.mark.slow
def test_pool_reduces_requests_to_a_full_server(quick: KnowledgeBase) -> None:
    """A 503 of a full server reduces the number of requests, and every record is answered."""
    models = (Model("finops-triage", "qwen3"), Model("finops-resolver", "qwen3"))
    with FakeOllama(
        models=models, num_parallel=2, max_queue=0, chunk_tokens=8, token_seconds=0.0005
    ) as server:
        model = a_model_at(quick, server.url, stages=("triage",), workers=8)
        assert set(run_statuses(model, quick, 30)) == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("fits_both", [True, False])
def test_pool_alternates_models_where_only_one_fits(fits_both: bool, quick: KnowledgeBase) -> None:
    """If only one model fits in memory, a batch finishes stage 1 before stage 2, so models are
    loaded once a batch (kb: model.alternation_batch).
    """
    with FakeOllama(fits_both=fits_both, chunk_tokens=1000) as server:
        model = a_model_at(quick, server.url)
        assert set(run_statuses(model, quick, 70, "run")) == {"ok"}
        assert model.must_alternate != fits_both
        stages = [request.model for request in server.received if not is_warm_up(request)]
        if fits_both:
            assert len(server.loads) == 2
        else:
            assert stages[:64] == ["finops-triage"] * 64
            assert len(server.loads) <= 7


def test_pool_without_a_model_names_the_create_command(quick: KnowledgeBase) -> None:
    """A server without one of the models raises MissingPiece with the `finops create` command."""
    with (
        FakeOllama(models=(Model("finops-triage", "qwen35"),)) as server,
        pytest.raises(MissingPiece, check=cured_by("finops create --stage resolver")),
    ):
        a_model_at(quick, server.url)


def test_pool_refuses_a_server_that_is_too_old(quick: KnowledgeBase) -> None:
    """A server with an old version raises MissingPiece that names the version."""
    with (
        FakeOllama(version="0.29.1") as server,
        pytest.raises(MissingPiece, match=r"0\.29\.1 is too old"),
    ):
        a_model_at(quick, server.url)


def test_pool_refuses_different_models_under_one_name(quick: KnowledgeBase) -> None:
    """Servers whose models have the same name but different digests are refused, because each line
    records one digest.
    """
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


def test_pool_omits_a_dead_server_with_a_notice(server: FakeOllama, quick: KnowledgeBase) -> None:
    """If one of two servers is down at the start, the run uses the other and prints a notice."""
    with FakeOllama() as other:
        dead = other.url
    selected = select_backend_at(quick, "ollama", dead, server.url)
    assert [notice for notice in selected.notices if dead in notice]


@pytest.mark.parametrize("host", ["http://8.8.8.8:11434", "https://1.1.1.1"])
def test_pool_refuses_a_public_address(host: str, quick: KnowledgeBase) -> None:
    """A server with a public address is refused before anything is sent (kb:
    model.external_servers).
    """
    with pytest.raises(UsageError, match="must stay in your network"):
        a_model_at(quick, host)


def test_pool_ignores_proxy_settings_of_the_environment(
    server: FakeOllama, quick: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are sent directly to the server, whatever proxy the environment names."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert triage_at(server, quick, lambda _: CorrectAnswer()).status == "ok"


def test_auto_backend_uses_ollama_only_with_its_models(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    """`--backend auto` uses Ollama if it answers and has the models. Otherwise it uses the engine
    and gives the reason.
    """
    there = select_backend_at(quick, "auto", server.url)
    assert (there.backend.origin.name, "has the models" in there.why) == ("ollama", True)
    lacking = select_backend_at(quick, "auto", server.url, models={"triage": "other"})
    assert (lacking.backend.origin.name, "has no model other" in lacking.why) == ("engine", True)
    server.stop()
    away = select_backend_at(quick, "auto", server.url)
    assert (away.backend.origin.name, "no Ollama answers" in away.why) == ("engine", True)


def test_pool_sends_records_in_their_order(server: FakeOllama, quick: KnowledgeBase) -> None:
    """Records are sent in their order, so none waits while many later ones are sent."""
    model = a_model_at(quick, server.url, stages=("triage",))
    assert set(run_statuses(model, quick, 40)) == {"ok"}
    quantities = [
        request.prompt.partition("Qty: ")[2].split(" ")[0]
        for request in server.received
        if not is_warm_up(request)
    ]
    assert all(abs(int(qty) - 5000 - n) <= 2 for n, qty in enumerate(quantities))


@pytest.mark.slow
def test_pool_with_one_hung_server_starts_and_answers(quick: KnowledgeBase) -> None:
    """A server that does not answer its warm-up delays neither the start nor the other servers."""
    with FakeOllama(chunk_tokens=1000) as well, FakeOllama(script=lambda _: Hang()) as hung:
        model = a_model_at(quick, hung.url, well.url, timeout=0.3)
        assert set(run_statuses(model, quick, 12, "run")) <= {"ok", "fallback"}
        assert not model.must_alternate
