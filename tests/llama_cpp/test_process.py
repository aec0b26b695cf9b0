"""The process of a model and whoever waits for it: hung, torn, dead, still loading.

Its part is taken by a few lines of Python.
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
given, said = sys.stdin.buffer, sys.stdout.buffer
def hear():
    return TO_WORKER.decode(next_frame(given))
def tell(*messages):
    said.write(b"".join(map(frame, messages)))
    said.flush()
hear()
"""
LOADED = _HEAD + "tell(Loaded())\n"
NEVER_LOADED = _HEAD + "time.sleep(600)\n"
HANGS_WITH_SOME_SEATED = (
    LOADED + "for _ in range({seats}):\n    tell(Begun(hear().number))\nos.kill(os.getpid(),"
    " signal.SIGSTOP)\n"
)
HANGS_AT_ONCE = LOADED + "os.kill(os.getpid(), signal.SIGSTOP)\n"
TALKS_NONSENSE = LOADED + "hear()\nsaid.write(b'\\0\\0\\0\\1?')\nsaid.flush()\ntime.sleep(600)\n"
STOPS_LISTENING_THEN_DIES = (
    LOADED + "os.close(0)\ntime.sleep(0.5)\nprint('worn out', file=sys.stderr)\nsys.exit(3)\n"
)
ANSWERS_ALL_IN_TURN = (
    LOADED + "while True:\n    say = hear()\n    tell(Begun(say.number))\n    time.sleep(0.1)\n"
    "    tell(GenerationResult(say.number, say.prompt, 'stop', 1))\n"
)


def process(script: str) -> WorkerProcess:
    return WorkerProcess(Load("model.gguf", 10), (sys.executable, "-c", script))


def loaded(script: str) -> WorkerProcess:
    made = process(script)
    made.ready(SECONDS)
    return made


def outcome(
    one: WorkerProcess, prompt: str, seconds: float = 0.3, silence: float = 0.3
) -> Exception | str:
    try:
        return one.generate(Generate(0, prompt, 1), seconds, silence).text
    except (failures.ModelError, ValueError) as failure:
        return failure


def outcomes(one: WorkerProcess, prompts: list[str]) -> list[Exception | str]:
    """Of all of them side by side. A test does not wait for ever for one that hangs."""
    threads = ThreadPoolExecutor(len(prompts))
    waited = [threads.submit(outcome, one, prompt) for prompt in prompts]
    try:
        return [one.result(timeout=SECONDS) for one in waited]
    finally:
        one.stop()
        threads.shutdown()


@pytest.mark.parametrize("seats", [1, 4])
def test_a_process_that_hangs_with_many_long_prompts_in_its_pipe_is_ended(seats: int) -> None:
    """More than a pipe holds waits to be written: the timeout of the seated is measured all the
    same, and everybody hears of it.
    """
    told = outcomes(loaded(HANGS_WITH_SOME_SEATED.format(seats=seats)), [LONG] * 12)
    kinds = [type(failure) for failure in told]
    assert set(kinds) <= {failures.TimedOut, failures.Crashed}
    assert 1 <= kinds.count(failures.TimedOut) <= seats
    assert {str(failure) for failure in told if isinstance(failure, failures.Crashed)} == {
        "the process of the model hung and was ended"
    }


def test_a_process_that_seats_nobody_is_ended_too() -> None:
    """Nobody's time has begun, but nobody hears anything either."""
    told = outcomes(loaded(HANGS_AT_ONCE), [LONG] * 4)
    assert {str(failure) for failure in told} == {
        "the process of the model said nothing for 0.9 s and was ended"
    }


def test_waiting_long_behind_others_is_no_silence() -> None:
    """Twelve answers in turn take longer than any silence that is borne; each of them shows that
    the process lives.
    """
    prompts = [f"{n}" for n in range(12)]
    assert outcomes(loaded(ANSWERS_ALL_IN_TURN), prompts) == prompts


def test_a_death_is_one_for_all_who_hear_of_it() -> None:
    """Also for requests between the first sign of it and the last: one object, with the last words
    of the process.
    """
    one = loaded(STOPS_LISTENING_THEN_DIES)
    threads = ThreadPoolExecutor(20)
    waited = []
    for _ in range(20):
        waited.append(threads.submit(outcome, one, LONG, SECONDS, SECONDS))
        time.sleep(0.05)
    told = [request.result(timeout=SECONDS) for request in waited]
    threads.shutdown()
    assert {str(failure) for failure in told} == {
        "the process of the model ended with status 3: worn out"
    }
    assert (
        len({id(failure.__cause__) for failure in told if isinstance(failure, failures.Crashed)})
        == 1
    )
    assert isinstance(told[0], failures.Crashed)
    assert isinstance(told[0].__cause__, Died)


def test_what_is_no_message_ends_the_process_and_is_told() -> None:
    """Nobody waits for an answer that cannot come."""
    [failure] = outcomes(loaded(TALKS_NONSENSE), ["a"])
    assert isinstance(failure, failures.Crashed)
    assert "said what is no message and was ended" in str(failure)


def test_a_process_that_is_stopped_is_gone() -> None:
    """`stop` comes back when nothing is left of it, not when it has been told to go."""
    one = loaded(HANGS_AT_ONCE)
    one.stop()
    assert not Path(f"/proc/{one.pid}").exists()
    assert not one.alive


def test_a_model_that_is_not_loaded_in_time_leaves_no_process() -> None:
    one = process(NEVER_LOADED)
    with pytest.raises(NotLoaded, match=r"not loaded within 0\.1 s"):
        one.ready(0.1)
    assert not Path(f"/proc/{one.pid}").exists()


def test_an_interrupted_load_leaves_no_process() -> None:
    """Ctrl-C while the run waits for its model."""
    one = process(NEVER_LOADED)
    Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        one.ready(SECONDS)
    assert not Path(f"/proc/{one.pid}").exists()


def test_a_system_that_starts_no_process_says_so() -> None:
    with pytest.raises(NotLoaded, match="no process can be started"):
        WorkerProcess(Load("model.gguf", 10), ("/no/such/program",))


def model_with(kb: KnowledgeBase, start: Callable[[Load], WorkerProcess]) -> LlamaCppModel:
    one = Profile(Load("model.gguf", 1000, 4), Sampling())
    return LlamaCppModel(
        Origin("llama-cpp", is_model=True), {"triage": one}, kb.models, start=start
    )


def test_closing_waits_for_no_load(quick: KnowledgeBase) -> None:
    """Whoever waits for the model hears that the run is over."""
    model = model_with(quick, lambda _: process(NEVER_LOADED))
    told = Event()

    def speaks() -> None:
        with pytest.raises(MissingPiece, match="have been unloaded"):
            model.complete(CompletionRequest("triage", "a", 1))
        told.set()

    Thread(target=speaks, daemon=True).start()
    until = time.monotonic() + SECONDS
    while model._models["triage"]._process is None and time.monotonic() < until:
        time.sleep(0.01)
    started = time.monotonic()
    model.close()
    assert time.monotonic() - started < quick.models.timeouts["load"] / 3
    assert told.wait(SECONDS)


def test_a_process_is_gone_before_the_next_one_loads(quick: KnowledgeBase) -> None:
    """Two models of one file in memory may be more than it holds."""
    started: list[WorkerProcess] = []
    left_behind: list[int] = []

    def start(_: Load) -> WorkerProcess:
        left_behind.extend(old.pid for old in started if Path(f"/proc/{old.pid}").exists())
        started.append(process(HANGS_AT_ONCE))
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
one = WorkerProcess(Load(sys.argv[1], 512))
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
def test_a_parent_that_ends_during_a_load_takes_the_process_with_it(
    ending: signal.Signals, loading: Path
) -> None:
    """Killed, or by Ctrl-C: nobody is left to use what would be loaded."""
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
    while _is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    left = _is_running(pid)
    if left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def _is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
