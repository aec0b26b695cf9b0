"""Recovery from lack of memory: the ladder, a worker under a limit, a server that crashes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import CorrectAnswer, Crash, FakeOllama, WrongStatus
from finops_cli.devtools.fake_ollama.faults import faulty
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.llama_cpp.memory import reduce_load
from finops_cli.models.llama_cpp.messages import Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.llama_cpp.worker_process import WorkerProcess
from finops_cli.models.protocol import CompletionRequest, Origin
from finops_cli.models.recovery.incidents import BOARD, Incident
from finops_cli.models.recovery.ladder import IN_PROCESS, MemoryLadder, Rung, lacks_memory
from finops_cli.monitoring.system_monitor import SystemMonitor, report_incidents
from tests.support import limited_worker
from tests.support.ollama_models import a_model_at, a_record, is_warm_up, triage_at
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl

MEGABYTE = 10**6


@pytest.fixture
def incidents() -> Iterator[list[Incident]]:
    """The incidents of the test, in order."""
    seen: list[Incident] = []
    BOARD.subscribe(seen.append)
    yield seen
    BOARD.unsubscribe(seen.append)


def rungs_of(incidents: list[Incident]) -> list[str]:
    own = [each for each in incidents if not each.name.startswith("breaker_")]
    return [each.facts.get("rung", each.name) for each in own]


def climb(
    ladder: MemoryLadder, *minutes: float, changes: tuple[Rung, ...] = IN_PROCESS
) -> list[Rung]:
    return [ladder.climb(60 * minute, changes.__contains__) for minute in minutes]


def test_ladder_climbs_within_ten_minutes(kb: KnowledgeBase) -> None:
    """The first lack of memory reloads, each further one within ten minutes takes the next rung,
    and a quiet time begins again at the bottom.
    """
    ladder = MemoryLadder(IN_PROCESS, kb.models)
    assert climb(ladder, 0, 9, 18, 27, 36, 45) == [
        "reload", "halve", "shrink", "alternate", "give way", "give way",
    ]  # fmt: skip
    assert climb(ladder, 55.1, 60) == ["reload", "halve"]


def test_rung_that_changes_nothing_is_passed(kb: KnowledgeBase) -> None:
    """A model with one answer at once and one context climbs from reloading to giving way."""
    ladder = MemoryLadder(IN_PROCESS, kb.models)
    assert climb(ladder, 0, 1, changes=("reload",)) == ["reload", "give way"]


def test_first_answer_after_a_lack_of_memory_is_a_recovery(kb: KnowledgeBase) -> None:
    """`succeeded` is true once after each lack of memory."""
    ladder = MemoryLadder(IN_PROCESS, kb.models)
    assert not ladder.succeeded()
    climb(ladder, 0)
    assert [ladder.succeeded(), ladder.succeeded()] == [True, False]


@pytest.mark.parametrize(
    ("rung", "longest", "changed"),
    [
        ("halve", 0, Load(path="m", context=1000, sequences=8, groups=1)),
        ("shrink", 0, Load(path="m", context=1000, sequences=8, groups=2)),
        ("shrink", 300, Load(path="m", context=500, sequences=8, groups=2)),
        ("shrink", 900, Load(path="m", context=1000, sequences=8, groups=2)),
    ],
)
def test_rungs_reduce_the_memory_of_a_model(rung: Rung, longest: int, changed: Load) -> None:
    """Half the answers at once; a context for the longest prompt and its answer."""
    load = Load(path="m", context=1000, sequences=8, groups=2)
    assert reduce_load(load, rung, longest, 200) == changed


@pytest.mark.parametrize(
    ("failure", "is_memory"),
    [
        (failures.Crashed("the process was ended by signal 9 (out of memory?)"), True),
        (failures.Crashed("HTTP 500: cudaMalloc failed: out of memory"), True),
        (failures.Crashed("HTTP 500: model requires more system memory (9 GiB)"), True),
        (failures.Unreachable("the model cannot be loaded: no memory for 8 contexts"), True),
        (failures.Crashed("the process was ended by signal 11"), False),
        (failures.Busy("HTTP 503: out of memory"), False),
        (failures.TimedOut("no answer within 5 s"), False),
    ],
)
def test_lack_of_memory_is_told_by_the_words_of_a_failure(
    kb: KnowledgeBase, failure: failures.ModelError, is_memory: bool
) -> None:
    """Only a crash or a failure to load, with a text of kb recovery.memory_words, is one."""
    assert lacks_memory(failure, kb.models) is is_memory


@pytest.fixture
def limited(quick: KnowledgeBase) -> Iterator[Callable[..., LlamaCppModel]]:
    """Make models whose worker has `room` bytes; they are closed with the test."""
    made: list[LlamaCppModel] = []

    def make(room: int, sequences: int, groups: int = 1) -> LlamaCppModel:
        command = (sys.executable, "-m", limited_worker.__name__, str(room))
        load = Load(path=str(ROOT / "README.md"), context=10, sequences=sequences, groups=groups)
        profile = Profile(load=load, sampling=Sampling(), max_tokens=4)
        made.append(
            LlamaCppModel(
                origin=Origin("llama-cpp", is_model=True),
                profiles={"triage": profile},
                settings=quick.models,
                start=partial(WorkerProcess, command=command),
            )
        )
        return made[-1]

    yield make
    for model in made:
        model.close()


def ask(model: LlamaCppModel, prompt: str) -> str:
    return model.complete(CompletionRequest("triage", prompt, 1)).text


def test_worker_without_memory_is_halved_and_answers(
    limited: Callable[..., LlamaCppModel], incidents: list[Incident]
) -> None:
    """A worker under a memory limit dies, is loaded again, dies, decodes half as many answers at
    once, and answers: no request is lost.
    """
    model = limited(room=15 * MEGABYTE, sequences=20)
    assert ask(model, "first") == "first 100"
    assert rungs_of(incidents) == ["reload", "halve", "recovered"]
    assert incidents[1].facts == {"rung": "halve", "sequences": 10, "context": 10}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(partial(ask, model), [f"p{n}" for n in range(30)]))
    assert answers == [f"p{n} 100" for n in range(30)]
    assert len(incidents) == 3


@pytest.mark.slow
def test_many_requests_of_one_death_climb_one_rung(
    limited: Callable[..., LlamaCppModel], incidents: list[Incident]
) -> None:
    """Requests that fail with the same process are one lack of memory."""
    model = limited(room=15 * MEGABYTE, sequences=20)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(partial(ask, model), [f"p{n}" for n in range(8)]))
    assert answers == [f"p{n} 100" for n in range(8)]
    assert rungs_of(incidents)[:2] == ["reload", "halve"]
    assert len(rungs_of(incidents)) <= 4


def test_worker_that_never_fits_ends_with_the_reason(
    limited: Callable[..., LlamaCppModel], incidents: list[Incident]
) -> None:
    """A model that does not fit at all fails with its rule after the retries, and no process
    stays.
    """
    model = limited(room=0, sequences=1)
    with pytest.raises(failures.Crashed, match="MemoryError"):
        ask(model, "first")
    assert rungs_of(incidents)[:2] == ["reload", "give way"]
    assert not model._models["triage"].in_memory


def test_server_without_memory_is_unloaded_and_asked_again(
    server: FakeOllama, quick: KnowledgeBase, incidents: list[Incident]
) -> None:
    """A server whose runner stopped for lack of resources unloads its model, is warmed up, and
    answers the record; the second time its breaker lets it rest.
    """
    faults = iter([Crash(), WrongStatus(500, '{"error":"cudaMalloc failed: out of memory"}')])
    answer = triage_at(
        server,
        quick,
        lambda request: CorrectAnswer() if is_warm_up(request) else next(faults, CorrectAnswer()),
    )
    assert answer.status == "ok"
    assert answer.attempt_errors[0].server == ("reply.crashed", "reply.crashed")
    assert rungs_of(incidents) == ["reload", "give way", "recovered"]  # it has one slot
    warm_ups = sum(is_warm_up(request) for request in server.received)
    assert warm_ups >= 4  # two before the records, one after each lack of memory
    assert [each.name for each in incidents].count("breaker_open") == 1


def test_second_server_takes_over(quick: KnowledgeBase, incidents: list[Incident]) -> None:
    """A server that stays without memory is passed over for the next one; all records are
    answered, and its breaker is reported.
    """

    def script(request: object) -> object:
        return CorrectAnswer() if is_warm_up(request) else Crash()  # type: ignore[arg-type]

    with FakeOllama() as bad, FakeOllama() as good:
        bad.script = script  # type: ignore[assignment]
        model = a_model_at(quick, bad.url, good.url, stages=("triage",))
        model.prepare("triage")
        answers = [model.triage(a_record(qty=1000 + n)) for n in range(12)]
    assert {answer.status for answer in answers} == {"ok"}
    assert "next server" in rungs_of(incidents)
    assert "breaker_open" in [each.name for each in incidents]


def test_incidents_of_models_reach_the_monitor(kb: KnowledgeBase) -> None:
    """A lack of memory is an event of the monitor, with its rung, and counted as a recovery."""
    monitor = SystemMonitor(kb)
    seen: list[str] = []
    monitor.add_sink(lambda event: seen.append(event.facts["model"]))
    report = report_incidents(monitor)
    report(Incident("oom", "llama-cpp", "tiny.gguf", {"rung": "halve"}))
    report(Incident("recovered", "llama-cpp", "tiny.gguf", {}))
    stats = monitor.stats()
    assert seen == ["tiny.gguf"] * 2
    assert (stats.events, stats.recoveries) == ({"oom": 1, "recovered": 1}, {"halve": 1})


@pytest.mark.slow
def test_every_record_is_answered_under_faults(
    finops: Finops, quick_kb: Path, tmp_path: Path
) -> None:
    """Of records at a server that fails three in ten requests, half of them for lack of memory,
    each has its line in order, and no thread stays.
    """
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{n}", qty=100 + n)) for n in range(200)))
    before = {each for each in threading.enumerate() if each.is_alive()}
    with FakeOllama() as server:
        server.script = faulty({"crash": 0.15, "torn": 0.1, "error-line": 0.05}, 0.0, seed=7)
        done = finops(
            "--kb", quick_kb, "triage", fails, "-q", "--backend", "ollama", "--host", server.url
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["fail_id"] for line in lines] == [f"F-{n}" for n in range(200)]
    assert {line["status"] for line in lines} <= {"ok", "fallback"}
    assert sum(line["status"] == "ok" for line in lines) > 150
    left = [each for each in threading.enumerate() if each not in before and each.is_alive()]
    assert [each.name for each in left if not each.name.startswith("finops-hook")] == []
