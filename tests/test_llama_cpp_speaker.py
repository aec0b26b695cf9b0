"""Models in processes of their own as a speaker: each failure has its class, and none of them is
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
from tests.conftest import ROOT
from tests.llama_models import BEHIND, CONTEXT, PREFIX, Plain, plain_loop, prompts, speaker_of
from tests.tiny_gguf import Shape, write_tiny_gguf

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install 'finops[llama]'")
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
def speaker(tiny: Path, quick: KnowledgeBase) -> Iterator[LlamaCppModel]:
    made = speaker_of(tiny, quick)
    yield made
    made.close()


def ask(prompt: str, seed: int = 1, **given: object) -> CompletionRequest:
    return CompletionRequest("triage", prompt, seed, **given)  # type: ignore[arg-type]


def heard(speaker: LlamaCppModel, prompt: str, **given: object) -> str:
    """What is said, cut or not; another failure by its rule."""
    try:
        return speaker.complete(ask(prompt, **given)).text
    except failures.Truncated as cut:
        return cut.received
    except failures.ModelError as failure:
        return failure.rule


def side_by_side(speaker: LlamaCppModel, texts: list[str]) -> list[str]:
    with ThreadPoolExecutor(speaker.concurrency) as threads:
        return list(threads.map(lambda text: heard(speaker, text), texts))


def process_of(speaker: LlamaCppModel) -> int:
    process = speaker._models["triage"]._process
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


@pytest.mark.parametrize("teams", [1, 2])
def test_records_from_many_threads_get_the_answers_of_the_plain_loop(
    teams: int, tiny: Path, quick: KnowledgeBase, plain: Callable[..., Plain]
) -> None:
    """Each its own, with more threads than seats, in one team or two."""
    speaker = speaker_of(tiny, quick, sequences=3, teams=teams)
    speaker.prepare("triage")
    texts = prompts(40, seed=12)
    assert side_by_side(speaker, texts) == [plain(text).text for text in texts]
    speaker.close()


def test_failures_of_a_record_are_its_own(
    speaker: LlamaCppModel, plain: Callable[..., Plain]
) -> None:
    """Too long, empty, no Unicode: named, settled, and their neighbours answered; the model's
    process lives on.
    """
    speaker.prepare("triage")
    pid, good = process_of(speaker), prompts(12, seed=13)
    bad = ["!" * CONTEXT, "", "\udc80", "!" * 2_000_000, "\x00" * CONTEXT, "a" * 3_000_000]
    texts = [text for pair in zip(good, bad * 2, strict=True) for text in pair]
    rules = [
        "reply.context",
        "reply.refused",
        "reply.refused",
        "reply.context",
        "reply.context",
        "reply.context",
    ]
    expected = [
        text
        for pair in zip([plain(text).text for text in good], rules * 2, strict=True)
        for text in pair
    ]
    assert side_by_side(speaker, texts) == expected
    assert process_of(speaker) == pid


def test_a_prompt_too_long_is_counted_not_estimated(speaker: LlamaCppModel) -> None:
    """The finding tells tokens of this model, and the room that there is."""
    with pytest.raises(
        failures.ContextExceeded, match=f"is 1,000 tokens, the context has room for {CONTEXT}"
    ):
        speaker.complete(ask("!" * 1000))
    assert speaker.context_size("triage") == CONTEXT


def test_an_answer_at_its_limit_is_cut(speaker: LlamaCppModel, plain: Callable[..., Plain]) -> None:
    """The limit of the profile, or that of the request; what was said so far is kept."""
    text = next(text for text in prompts(20) if not plain(text).ended)
    for tokens in (7, 40):
        with pytest.raises(failures.Truncated) as cut:
            speaker.complete(ask(text, predict=tokens))
        assert cut.value.received == plain(text, tokens=tokens).text


def test_an_answer_that_takes_too_long_is_cancelled(endless: Path, quick: KnowledgeBase) -> None:
    """Overdue with what was said so far; the seat is free again, and the process the same."""
    speaker = speaker_of(endless, quick, sequences=2, predict=None, deadline=0.05)
    speaker.prepare("triage")
    pid = process_of(speaker)
    for _ in range(3):
        with pytest.raises(failures.TimedOut) as overdue:
            speaker.complete(ask(f"{PREFIX}a{BEHIND}"))
        assert overdue.value.received
    with pytest.raises(failures.Truncated):
        speaker.complete(ask(f"{PREFIX}a{BEHIND}", predict=1))
    assert process_of(speaker) == pid
    speaker.close()


def test_waiting_for_a_seat_costs_no_time_of_the_answer(
    endless: Path, quick: KnowledgeBase
) -> None:
    """Eight records at one seat, each far below the deadline that all of them together exceed."""
    speaker = speaker_of(endless, quick, sequences=1, predict=100)
    speaker.prepare("triage")
    started = time.monotonic()
    heard(speaker, "a")
    speaker._deadline = 4 * (time.monotonic() - started)
    with ThreadPoolExecutor(16) as threads:
        assert "reply.overdue" not in threads.map(lambda n: heard(speaker, f"{n} a"), range(16))
    speaker.close()


def test_a_process_that_is_killed_is_started_again(endless: Path, quick: KnowledgeBase) -> None:
    """Its records are asked again and say what they would have said; what was overcome is told."""
    speaker = speaker_of(endless, quick, sequences=4, predict=150)
    speaker.prepare("triage")
    texts = prompts(8, seed=14)
    expected = [heard(speaker, text) for text in texts]
    first = process_of(speaker)
    Thread(target=lambda: (time.sleep(0.1), os.kill(first, signal.SIGKILL))).start()
    assert side_by_side(speaker, texts) == expected
    assert process_of(speaker) != first
    speaker.close()


def test_what_was_overcome_is_told(endless: Path, quick: KnowledgeBase) -> None:
    """A crash on the way to an answer stands in its provenance."""
    speaker = speaker_of(endless, quick, predict=None, stops=("zzzz",))
    speaker.prepare("triage")
    pid = process_of(speaker)
    Thread(target=lambda: (time.sleep(0.1), os.kill(pid, signal.SIGKILL))).start()
    with pytest.raises(failures.Truncated) as cut:
        speaker.complete(ask(f"{PREFIX}a{BEHIND}"))
    assert cut.value.overcome == ("reply.crashed",)
    speaker.close()


def test_a_process_that_hangs_is_ended(endless: Path, quick: KnowledgeBase) -> None:
    """Stopped dead, it does not say that it cancelled: the record is overdue, the next one gets a
    new process.
    """
    speaker = speaker_of(endless, quick, predict=None, deadline=0.2)
    speaker.prepare("triage")
    model = speaker._models["triage"]
    process = model._process
    assert process is not None
    said = model._loaded
    Thread(target=lambda: (time.sleep(0.1), os.kill(process.pid, signal.SIGSTOP))).start()
    with pytest.raises(failures.TimedOut, match="hung"):
        process.say(_say(f"{PREFIX}a{BEHIND}"), 0.2, 0.5)
    assert said() is not process
    speaker.close()


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
    speaker = speaker_of(torn, quick)
    with pytest.raises(
        UsageError, match=r"torn\.gguf: llama\.cpp cannot load it: .*take another GGUF file"
    ):
        speaker.prepare("triage")


def test_a_model_that_can_never_be_loaded_ends_the_run(
    tiny: Path, tmp_path: Path, quick: KnowledgeBase
) -> None:
    """The file goes away during the run and the process dies: the breaker gives the model up, with
    the reason and a cure.
    """
    moved = Path(tmp_path / "moved.gguf")
    moved.write_bytes(tiny.read_bytes())
    speaker = speaker_of(moved, quick)
    speaker.prepare("triage")
    moved.unlink()
    os.kill(process_of(speaker), signal.SIGKILL)
    assert ends(process_of(speaker))
    with pytest.raises(failures.NoEndpointLeft, match=r"cannot be loaded.*--resume"):
        [heard(speaker, "a") for _ in range(20)]
    speaker.close()


def test_closing_ends_the_process_and_what_waits_for_it(
    endless: Path, quick: KnowledgeBase
) -> None:
    """No process is left, none is started, and no thread hangs."""
    speaker = speaker_of(endless, quick, predict=None)
    speaker.prepare("triage")
    pid = process_of(speaker)
    ended = Event()

    def speaks() -> None:
        with pytest.raises(MissingPiece):
            speaker.complete(ask("a b c"))
        ended.set()

    Thread(target=speaks).start()
    time.sleep(0.1)
    speaker.close()
    assert ended.wait(SECONDS)
    assert not is_running(pid)


_PARENT = """
import sys, threading
from pathlib import Path
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.protocol import CompletionRequest
from tests.llama_models import speaker_of
speaker = speaker_of(Path(sys.argv[1]), load_kb(bundled_kb_dir()), predict=None)
speaker.prepare("triage")
request = CompletionRequest("triage", "a b c", 1)
threading.Thread(target=speaker.complete, args=(request,), daemon=True).start()
print(speaker._models["triage"]._process.pid, flush=True)
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
