"""Models in processes of their own as a model: each failure has its class, and none of them is
another record's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest

from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.llama_cpp.model import LlamaCppModel
from finops_cli.models.protocol import CompletionRequest
from tests.support.cures import cured_by
from tests.support.llama_models import BEHIND, CONTEXT, PREFIX, Plain, model_of, plain_loop, prompts
from tests.support.program import ROOT
from tests.support.tiny_gguf import Shape, write_tiny_gguf

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
SECONDS = 30


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never comes to an end by itself, and is slow enough to be watched."""
    shape = Shape(layers=4, width=256, feed_forward=1024, ends=False)
    return write_tiny_gguf(tmp_path_factory.mktemp("endless") / "endless.gguf", shape=shape)


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Callable[..., Plain]:
    return plain_loop(tiny)


@pytest.fixture
def model(tiny: Path, quick: KnowledgeBase) -> Iterator[LlamaCppModel]:
    made = model_of(tiny, quick)
    yield made
    made.close()


def ask(prompt: str, seed: int = 1, **given: object) -> CompletionRequest:
    return CompletionRequest("triage", prompt, seed, **given)  # type: ignore[arg-type]


def heard(model: LlamaCppModel, prompt: str, **given: object) -> str:
    """What is said, cut or not; another failure by its rule."""
    try:
        return model.complete(ask(prompt, **given)).text
    except failures.Truncated as cut:
        return cut.received
    except failures.ModelError as failure:
        return failure.rule


def side_by_side(model: LlamaCppModel, texts: list[str]) -> list[str]:
    with ThreadPoolExecutor(model.concurrency) as threads:
        return list(threads.map(lambda text: heard(model, text), texts))


def process_of(model: LlamaCppModel) -> int:
    process = model._models["triage"]._process
    assert process is not None
    return process.pid


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Whether the process is over within the time of a test."""
    until = time.monotonic() + SECONDS
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.mark.parametrize("groups", [1, 2])
def test_records_from_many_threads_get_the_answers_of_the_plain_loop(
    groups: int, tiny: Path, quick: KnowledgeBase, plain: Callable[..., Plain]
) -> None:
    """Each its own, with more threads than seats, in one group or two."""
    model = model_of(tiny, quick, sequences=3, groups=groups)
    model.prepare("triage")
    texts = prompts(40, seed=12)
    assert side_by_side(model, texts) == [plain(text).text for text in texts]
    model.close()


def test_failures_of_a_record_are_its_own(
    model: LlamaCppModel, plain: Callable[..., Plain]
) -> None:
    """Too long, empty, no Unicode: named, settled, and their neighbours answered; the model's
    process lives on.
    """
    model.prepare("triage")
    pid, good = process_of(model), prompts(12, seed=13)
    bad = ["!" * CONTEXT, "", "\udc80", "!" * 2_000_000, "\x00" * CONTEXT, "a" * 3_000_000]
    texts = [text for pair in zip(good, bad * 2, strict=True) for text in pair]
    rules = [
        "reply.context",
        "reply.rejected",
        "reply.rejected",
        "reply.context",
        "reply.context",
        "reply.context",
    ]
    expected = [
        text
        for pair in zip([plain(text).text for text in good], rules * 2, strict=True)
        for text in pair
    ]
    assert side_by_side(model, texts) == expected
    assert process_of(model) == pid


def test_a_prompt_too_long_is_counted_not_estimated(model: LlamaCppModel) -> None:
    """The finding tells tokens of this model, and the room that there is."""
    with pytest.raises(
        failures.ContextExceeded, match=f"is 1,000 tokens, the context has room for {CONTEXT}"
    ):
        model.complete(ask("!" * 1000))
    assert model.context_size("triage") == CONTEXT


def test_an_answer_at_its_limit_is_cut(model: LlamaCppModel, plain: Callable[..., Plain]) -> None:
    """The limit of the profile, or that of the request; what was said so far is kept."""
    text = next(text for text in prompts(20) if not plain(text).ended)
    for tokens in (7, 40):
        with pytest.raises(failures.Truncated) as cut:
            model.complete(ask(text, max_tokens=tokens))
        assert cut.value.received == plain(text, tokens=tokens).text


def test_an_answer_that_takes_too_long_is_cancelled(endless: Path, quick: KnowledgeBase) -> None:
    """Overdue with what was said so far; the seat is free again, and the process the same."""
    model = model_of(endless, quick, sequences=2, max_tokens=None, timeout=0.05)
    model.prepare("triage")
    pid = process_of(model)
    for _ in range(3):
        with pytest.raises(failures.TimedOut) as overdue:
            model.complete(ask(f"{PREFIX}a{BEHIND}"))
        assert overdue.value.received
    with pytest.raises(failures.Truncated):
        model.complete(ask(f"{PREFIX}a{BEHIND}", max_tokens=1))
    assert process_of(model) == pid
    model.close()


def test_waiting_for_a_seat_costs_no_time_of_the_answer(
    endless: Path, quick: KnowledgeBase
) -> None:
    """Eight records at one seat, each far below the timeout that all of them together exceed."""
    model = model_of(endless, quick, sequences=1, max_tokens=100)
    model.prepare("triage")
    started = time.monotonic()
    heard(model, "a")
    model._timeout = 4 * (time.monotonic() - started)
    with ThreadPoolExecutor(16) as threads:
        assert "reply.timeout" not in threads.map(lambda n: heard(model, f"{n} a"), range(16))
    model.close()


def test_a_process_that_is_killed_is_started_again(endless: Path, quick: KnowledgeBase) -> None:
    """Its records are asked again and say what they would have said; what was overcome is told."""
    model = model_of(endless, quick, sequences=4, max_tokens=150)
    model.prepare("triage")
    texts = prompts(8, seed=14)
    expected = [heard(model, text) for text in texts]
    first = process_of(model)
    Thread(target=lambda: (time.sleep(0.1), os.kill(first, signal.SIGKILL))).start()
    assert side_by_side(model, texts) == expected
    assert process_of(model) != first
    model.close()


def test_what_was_overcome_is_told(endless: Path, quick: KnowledgeBase) -> None:
    """A crash on the way to an answer stands in its provenance."""
    model = model_of(endless, quick, max_tokens=None, stops=("zzzz",))
    model.prepare("triage")
    pid = process_of(model)
    Thread(target=lambda: (time.sleep(0.1), os.kill(pid, signal.SIGKILL))).start()
    with pytest.raises(failures.Truncated) as cut:
        model.complete(ask(f"{PREFIX}a{BEHIND}"))
    assert cut.value.overcome == ("reply.crashed",)
    model.close()


def test_a_process_that_hangs_is_ended(endless: Path, quick: KnowledgeBase) -> None:
    """Stopped dead, it does not say that it cancelled: the record is overdue, the next one gets a
    new process.
    """
    model = model_of(endless, quick, max_tokens=None, timeout=0.2)
    model.prepare("triage")
    lifecycle = model._models["triage"]
    process = lifecycle._process
    assert process is not None
    reload = lifecycle._load_process
    Thread(target=lambda: (time.sleep(0.1), os.kill(process.pid, signal.SIGSTOP))).start()
    with pytest.raises(failures.TimedOut, match="hung"):
        process.generate(_say(f"{PREFIX}a{BEHIND}"), 0.2, 0.5)
    assert reload() is not process
    model.close()


def _say(prompt: str) -> object:
    from finops_cli.models.llama_cpp.messages import Generate

    return Generate(0, prompt, 1)


def test_a_file_that_is_no_model_is_refused_before_the_first_record(
    tmp_path: Path, quick: KnowledgeBase, tiny: Path
) -> None:
    """Torn, or a head without a body: the file is named, with llama.cpp's reason; a context beyond
    all memory has its cure.
    """
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny.read_bytes()[:300_000])
    model = model_of(torn, quick)
    with pytest.raises(
        UsageError,
        match=r"torn\.gguf: llama\.cpp cannot load it: ",
        check=cured_by("take another GGUF file"),
    ):
        model.prepare("triage")


def test_a_model_that_can_never_be_loaded_ends_the_run(
    tiny: Path, tmp_path: Path, quick: KnowledgeBase
) -> None:
    """The file goes away during the run and the process dies: the breaker gives the model up, with
    the reason and a cure.
    """
    moved = Path(tmp_path / "moved.gguf")
    moved.write_bytes(tiny.read_bytes())
    model = model_of(moved, quick)
    model.prepare("triage")
    moved.unlink()
    os.kill(process_of(model), signal.SIGKILL)
    assert ends(process_of(model))
    with pytest.raises(
        failures.NoEndpointLeft, match="cannot be loaded", check=cured_by("--resume")
    ):
        [heard(model, "a") for _ in range(20)]
    model.close()


def test_closing_ends_the_process_and_what_waits_for_it(
    endless: Path, quick: KnowledgeBase
) -> None:
    """No process is left, none is started, and no thread hangs."""
    model = model_of(endless, quick, max_tokens=None)
    model.prepare("triage")
    pid = process_of(model)
    ended = Event()

    def speaks() -> None:
        with pytest.raises(MissingPiece):
            model.complete(ask("a b c"))
        ended.set()

    Thread(target=speaks).start()
    time.sleep(0.1)
    model.close()
    assert ended.wait(SECONDS)
    assert not is_running(pid)


_PARENT = """
import sys, threading
from pathlib import Path
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.protocol import CompletionRequest
from tests.support.llama_models import model_of
model = model_of(Path(sys.argv[1]), load_kb(bundled_kb_dir()), max_tokens=None)
model.prepare("triage")
request = CompletionRequest("triage", "a b c", 1)
threading.Thread(target=model.complete, args=(request,), daemon=True).start()
print(model._models["triage"]._process.pid, flush=True)
threading.Event().wait()
"""


def test_a_parent_that_is_killed_takes_the_process_with_it(endless: Path) -> None:
    """Also in the middle of an answer."""
    command = [sys.executable, "-c", _PARENT, str(endless)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    assert ends(pid)
