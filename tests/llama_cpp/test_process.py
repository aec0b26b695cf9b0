"""The worker process of a model and its callers: a process that hangs, breaks, dies or
still loads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from finops_cli.errors import MissingPiece
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.llama_cpp.messages import Generate, Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.llama_cpp.worker_process import Died, NotLoaded, WorkerProcess
from finops_cli.models.protocol import CompletionRequest, Origin
from tests.support.program import ROOT

SECONDS = 30
LONG = "!" * 30_000
_HEAD = """
import os, signal, sys, time
from finops_cli.models.llama_cpp.messages import TO_WORKER, Begun, GenerationResult, Loaded
from finops_cli.models.llama_cpp.messages import frame, next_frame
source, sink = sys.stdin.buffer, sys.stdout.buffer
def receive():
    return TO_WORKER.decode(next_frame(source))
def send(*messages):
    sink.write(b"".join(map(frame, messages)))
    sink.flush()
receive()
"""
LOADED = _HEAD + "send(Loaded())\n"
NEVER_LOADED = _HEAD + "time.sleep(600)\n"
HANGS_AFTER_SOME_STARTED = (
    LOADED + "for _ in range({started}):\n    send(Begun(receive().number))\nos.kill(os.getpid(),"
    " signal.SIGSTOP)\n"
)
HANGS_AT_ONCE = LOADED + "os.kill(os.getpid(), signal.SIGSTOP)\n"
WRITES_NONSENSE = (
    LOADED + "receive()\nsink.write(b'\\0\\0\\0\\1?')\nsink.flush()\ntime.sleep(600)\n"
)
CLOSES_STDIN_THEN_DIES = (
    LOADED + "os.close(0)\ntime.sleep(0.5)\nprint('worn out', file=sys.stderr)\nsys.exit(3)\n"
)
ANSWERS_ALL_IN_TURN = (
    LOADED
    + "while True:\n    request = receive()\n    send(Begun(request.number))\n    time.sleep(0.1)\n"
    "    answer = {'number': request.number, 'text': request.prompt}\n"
    "    send(GenerationResult(**answer, end='stop', prompt_tokens=1))\n"
)


def start_process(script: str) -> WorkerProcess:
    return WorkerProcess(Load(path="model.gguf", context=10), (sys.executable, "-c", script))


def start_loaded(script: str) -> WorkerProcess:
    worker = start_process(script)
    worker.ready(SECONDS)
    return worker


def outcome(
    one: WorkerProcess, prompt: str, seconds: float = 0.3, silence: float = 0.3
) -> Exception | str:
    try:
        return one.generate(Generate(number=0, prompt=prompt, seed=1), seconds, silence).text
    except (failures.ModelError, ValueError) as failure:
        return failure


def outcomes(one: WorkerProcess, prompts: list[str], seconds: float = 0.3) -> list[Exception | str]:
    """Return the outcome of all prompts at once; a request that hangs fails the test after a time
    limit.
    """
    threads = ThreadPoolExecutor(len(prompts))
    waited = [threads.submit(outcome, one, prompt, seconds) for prompt in prompts]
    try:
        return [one.result(timeout=SECONDS) for one in waited]
    finally:
        one.stop()
        threads.shutdown()


@pytest.mark.parametrize("started", [1, 4])
def test_hung_process_with_a_full_pipe_is_ended(started: int) -> None:
    """A hung process with more prompts than its pipe holds is ended. Started requests time out, and
    the others crash.
    """
    results = outcomes(start_loaded(HANGS_AFTER_SOME_STARTED.format(started=started)), [LONG] * 12)
    kinds = [type(failure) for failure in results]
    assert set(kinds) <= {failures.TimedOut, failures.Crashed}
    assert 1 <= kinds.count(failures.TimedOut) <= started
    assert {str(failure) for failure in results if isinstance(failure, failures.Crashed)} == {
        "the process of the model hung and was ended"
    }


@pytest.mark.slow
def test_process_that_starts_no_request_is_ended() -> None:
    """A process that starts no request is ended after the silence limit, and each request gets the
    reason.
    """
    results = outcomes(start_loaded(HANGS_AT_ONCE), [LONG] * 4)
    assert {str(failure) for failure in results} == {
        "the process of the model sent no message for 0.9 s and was ended"
    }


@pytest.mark.slow
def test_waiting_for_other_answers_is_not_silence() -> None:
    """A request may wait longer than the silence limit while the process answers others."""
    prompts = [f"{n}" for n in range(30)]
    assert outcomes(start_loaded(ANSWERS_ALL_IN_TURN), prompts, seconds=1) == prompts


@pytest.mark.slow
def test_death_of_a_process_is_one_error_for_all_requests() -> None:
    """All requests of a process that dies get the same error object with its last words."""
    one = start_loaded(CLOSES_STDIN_THEN_DIES)
    threads = ThreadPoolExecutor(20)
    waited = []
    for _ in range(20):
        waited.append(threads.submit(outcome, one, LONG, SECONDS, SECONDS))
        time.sleep(0.05)
    results = [request.result(timeout=SECONDS) for request in waited]
    threads.shutdown()
    assert {str(failure) for failure in results} == {
        "the process of the model ended with status 3: worn out"
    }
    assert (
        len({id(failure.__cause__) for failure in results if isinstance(failure, failures.Crashed)})
        == 1
    )
    assert isinstance(results[0], failures.Crashed)
    assert isinstance(results[0].__cause__, Died)


def test_process_that_writes_nonsense_is_ended() -> None:
    """A process that writes something other than a message is ended, and its request crashes with
    the reason.
    """
    [failure] = outcomes(start_loaded(WRITES_NONSENSE), ["a"])
    assert isinstance(failure, failures.Crashed)
    assert "sent invalid output and was ended" in str(failure)


def test_stopped_process_no_longer_exists() -> None:
    """`stop` returns only when the process no longer exists."""
    one = start_loaded(HANGS_AT_ONCE)
    one.stop()
    assert not Path(f"/proc/{one.pid}").exists()
    assert not one.alive


def test_load_timeout_leaves_no_process() -> None:
    """A model that is not loaded in time raises NotLoaded, and its process no longer exists."""
    one = start_process(NEVER_LOADED)
    with pytest.raises(NotLoaded, match=r"not loaded within 0\.1 s"):
        one.ready(0.1)
    assert not Path(f"/proc/{one.pid}").exists()


def test_interrupted_load_leaves_no_process() -> None:
    """Ctrl-C while a model loads leaves no process."""
    one = start_process(NEVER_LOADED)
    Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        one.ready(SECONDS)
    assert not Path(f"/proc/{one.pid}").exists()


def test_program_that_cannot_start_raises_not_loaded() -> None:
    """A program that cannot be started raises NotLoaded."""
    with pytest.raises(NotLoaded, match="no process can be started"):
        WorkerProcess(Load(path="model.gguf", context=10), ("/no/such/program",))


def model_with(kb: KnowledgeBase, start: Callable[[Load], WorkerProcess]) -> LlamaCppModel:
    one = Profile(load=Load(path="model.gguf", context=1000, sequences=4), sampling=Sampling())
    return LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles={"triage": one},
        settings=kb.models,
        start=start,
    )


def test_close_does_not_wait_for_a_load(quick: KnowledgeBase) -> None:
    """Closing a model during its load returns at once, and the waiting request gets
    MissingPiece.
    """
    model = model_with(quick, lambda _: start_process(NEVER_LOADED))
    ended = Event()

    def complete_one() -> None:
        with pytest.raises(MissingPiece, match="have been unloaded"):
            model.complete(CompletionRequest("triage", "a", 1))
        ended.set()

    Thread(target=complete_one, daemon=True).start()
    until = time.monotonic() + SECONDS
    while model._models["triage"]._process is None and time.monotonic() < until:
        time.sleep(0.01)
    started = time.monotonic()
    model.close()
    assert time.monotonic() - started < quick.models.timeouts["load"] / 3
    assert ended.wait(SECONDS)


def test_old_process_ends_before_the_next_one_starts(quick: KnowledgeBase) -> None:
    """A process has ended before the next one for the same model starts, so both are never in
    memory together.
    """
    started: list[WorkerProcess] = []
    left_behind: list[int] = []

    def start(_: Load) -> WorkerProcess:
        left_behind.extend(old.pid for old in started if Path(f"/proc/{old.pid}").exists())
        started.append(start_process(HANGS_AT_ONCE))
        return started[-1]

    model = model_with(quick, start)
    lifecycle = model._models["triage"]
    for _ in range(3):
        model.prepare("triage")
        one = started[-1]
        lets_go = Event()
        Thread(
            target=lambda one=one, lets_go=lets_go: (lets_go.set(), one.stop()), daemon=True
        ).start()  # type: ignore[misc]
        assert lets_go.wait(SECONDS)
        while one.alive:
            time.sleep(0.001)
    lifecycle._load_process()
    model.close()
    assert (len(started), left_behind) == (4, [])


_PARENT = """
import sys
from finops_cli.models.llama_cpp.worker_process import WorkerProcess
from finops_cli.models.llama_cpp.messages import Load
one = WorkerProcess(Load(path=sys.argv[1], context=512))
print(one.pid, flush=True)
one.ready(600)
"""


@pytest.fixture
def loading(tmp_path: Path) -> Path:
    """A model file whose load never ends: a pipe that nobody writes to."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
    pipe = tmp_path / "endless.gguf"
    os.mkfifo(pipe)
    return pipe


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_worker_ends_with_its_parent_during_a_load(ending: signal.Signals, loading: Path) -> None:
    """A worker process ends when its parent is killed or interrupted during a load."""
    command = [sys.executable, "-c", _PARENT, str(loading)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until = time.monotonic() + SECONDS
        while "libllama" not in Path(f"/proc/{pid}/maps").read_text() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)  # it opens the file
        parent.send_signal(ending)
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    left = is_running(pid)
    if left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
