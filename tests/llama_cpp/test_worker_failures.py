"""Failures of worker processes: each has its class and affects only its own request."""

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
    """A model whose answers do not end and that is slow enough to be interrupted."""
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


def make_request(prompt: str, seed: int = 1, **options: object) -> CompletionRequest:
    return CompletionRequest("triage", prompt, seed, **options)  # type: ignore[arg-type]


def answer_or_rule(model: LlamaCppModel, prompt: str, **options: object) -> str:
    """Return the text of an answer, truncated or not, or the rule of another failure."""
    try:
        return model.complete(make_request(prompt, **options)).text
    except failures.Truncated as cut:
        return cut.received
    except failures.ModelError as failure:
        return failure.rule


def side_by_side(model: LlamaCppModel, texts: list[str]) -> list[str]:
    with ThreadPoolExecutor(model.concurrency) as threads:
        return list(threads.map(lambda text: answer_or_rule(model, text), texts))


def process_of(model: LlamaCppModel) -> int:
    process = model._models["triage"]._process
    assert process is not None
    return process.pid


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def has_ended(pid: int) -> bool:
    """Return whether the process ends within the time of a test."""
    until = time.monotonic() + SECONDS
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.mark.parametrize("groups", [1, 2])
def test_requests_of_many_threads_equal_the_plain_loop(
    groups: int, tiny: Path, quick: KnowledgeBase, plain: Callable[..., Plain]
) -> None:
    """Requests from more threads than slots each get the answer of the plain loop, with one or two
    groups.
    """
    model = model_of(tiny, quick, sequences=3, groups=groups)
    model.prepare("triage")
    texts = prompts(40, seed=12)
    assert side_by_side(model, texts) == [plain(text).text for text in texts]
    model.close()


def test_invalid_prompts_fail_alone_and_process_lives(
    model: LlamaCppModel, plain: Callable[..., Plain]
) -> None:
    """Prompts that are too long, empty or not Unicode fail with their rule. Other requests are
    answered by the same process.
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


def test_too_long_prompt_reports_its_exact_token_count(model: LlamaCppModel) -> None:
    """The error of a too long prompt has its token count and the size of the context."""
    with pytest.raises(
        failures.ContextExceeded, match=f"is 1,000 tokens, the context has room for {CONTEXT}"
    ):
        model.complete(make_request("!" * 1000))
    assert model.context_size("triage") == CONTEXT


def test_answer_at_its_limit_is_truncated_with_its_text(
    model: LlamaCppModel, plain: Callable[..., Plain]
) -> None:
    """An answer that reaches the limit of its request is truncated, and its text so far is kept."""
    text = next(text for text in prompts(20) if not plain(text).ended)
    for tokens in (7, 40):
        with pytest.raises(failures.Truncated) as cut:
            model.complete(make_request(text, max_tokens=tokens))
        assert cut.value.received == plain(text, tokens=tokens).text


def do_once_it_answers(model: LlamaCppModel, act: Callable[[], None]) -> None:
    """Call `act` in a thread when the process of the model has sent its next message."""
    process = model._models["triage"]._process
    assert process is not None
    before = process._last_message_at

    def wait() -> None:
        while process._last_message_at == before:
            time.sleep(0.001)
        act()

    Thread(target=wait, daemon=True).start()


def test_answer_after_its_timeout_is_cancelled_in_process(
    endless: Path, quick: KnowledgeBase
) -> None:
    """An answer after its timeout is cancelled with its text so far. The slot is free again in the
    same process.
    """
    model = model_of(endless, quick, sequences=2, max_tokens=None, timeout=0.15)
    model.prepare("triage")
    pid = process_of(model)
    for _ in range(3):
        with pytest.raises(failures.TimedOut) as overdue:
            model.complete(make_request(f"{PREFIX}a{BEHIND}"))
        assert overdue.value.received
    model._timeout = SECONDS
    with pytest.raises(failures.Truncated):
        model.complete(make_request(f"{PREFIX}a{BEHIND}", max_tokens=1))
    assert process_of(model) == pid
    model.close()


def test_waiting_for_a_slot_does_not_count_for_the_timeout(
    endless: Path, quick: KnowledgeBase
) -> None:
    """The timeout of an answer starts when it gets its slot."""
    model = model_of(endless, quick, sequences=1, max_tokens=200)
    model.prepare("triage")
    started = time.monotonic()
    answer_or_rule(model, "a")
    model._timeout = 4 * (time.monotonic() - started)
    with ThreadPoolExecutor(16) as threads:
        assert "reply.timeout" not in threads.map(
            lambda n: answer_or_rule(model, f"{n} a"), range(16)
        )
    model.close()


def test_killed_process_is_restarted_with_the_same_answers(
    endless: Path, quick: KnowledgeBase
) -> None:
    """After its process is killed a model starts a new one, and each request gets the answer that
    it would have got.
    """
    model = model_of(endless, quick, sequences=4, max_tokens=150)
    model.prepare("triage")
    texts = prompts(8, seed=14)
    expected = [answer_or_rule(model, text) for text in texts]
    first = process_of(model)
    do_once_it_answers(model, lambda: os.kill(first, signal.SIGKILL))
    assert side_by_side(model, texts) == expected
    assert process_of(model) != first
    model.close()


def test_crash_before_an_answer_is_recorded_as_overcome(
    endless: Path, quick: KnowledgeBase
) -> None:
    """A crash that a retry overcame is recorded with the later answer."""
    model = model_of(endless, quick, max_tokens=None, stops=("zzzz",))
    model.prepare("triage")
    pid = process_of(model)
    do_once_it_answers(model, lambda: os.kill(pid, signal.SIGKILL))
    with pytest.raises(failures.Truncated) as cut:
        model.complete(make_request(f"{PREFIX}a{BEHIND}"))
    assert cut.value.overcome == ("reply.crashed",)
    model.close()


def test_hung_process_is_ended_and_replaced(endless: Path, quick: KnowledgeBase) -> None:
    """A stopped process is ended after the timeout, and the next request gets a new one."""
    model = model_of(endless, quick, max_tokens=None, timeout=0.2)
    model.prepare("triage")
    lifecycle = model._models["triage"]
    process = lifecycle._process
    assert process is not None
    reload = lifecycle._load_process
    do_once_it_answers(model, lambda: os.kill(process.pid, signal.SIGSTOP))
    with pytest.raises(failures.TimedOut, match="hung"):
        process.generate(make_generate(f"{PREFIX}a{BEHIND}"), 2, 0.5)
    assert reload() is not process
    model.close()


def make_generate(prompt: str) -> object:
    from finops_cli.models.llama_cpp.messages import Generate

    return Generate(number=0, prompt=prompt, seed=1)


def test_incomplete_model_file_is_refused_before_a_run(
    tmp_path: Path, quick: KnowledgeBase, tiny: Path
) -> None:
    """An incomplete model file raises UsageError with its name, llama.cpp's reason and a fix."""
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(tiny.read_bytes()[:300_000])
    model = model_of(torn, quick)
    with pytest.raises(
        UsageError,
        match=r"torn\.gguf: llama\.cpp cannot load it: ",
        check=cured_by("use another GGUF file"),
    ):
        model.prepare("triage")


def test_model_file_removed_during_a_run_ends_it(
    tiny: Path, tmp_path: Path, quick: KnowledgeBase
) -> None:
    """If the file is removed and the process dies, the breaker gives the model up with the reason
    and a fix.
    """
    moved = Path(tmp_path / "moved.gguf")
    moved.write_bytes(tiny.read_bytes())
    model = model_of(moved, quick)
    model.prepare("triage")
    moved.unlink()
    os.kill(process_of(model), signal.SIGKILL)
    assert has_ended(process_of(model))
    with pytest.raises(
        failures.NoEndpointLeft, match="cannot be loaded", check=cured_by("--resume")
    ):
        [answer_or_rule(model, "a") for _ in range(20)]
    model.close()


def test_close_ends_the_process_and_waiting_requests(endless: Path, quick: KnowledgeBase) -> None:
    """Closing a model ends its process and its waiting requests."""
    model = model_of(endless, quick, max_tokens=None)
    model.prepare("triage")
    pid = process_of(model)
    begun, ended = Event(), Event()

    def complete_one() -> None:
        with pytest.raises(MissingPiece):
            model.complete(make_request("a b c"))
        ended.set()

    do_once_it_answers(model, begun.set)
    Thread(target=complete_one).start()
    assert begun.wait(SECONDS)
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


def test_worker_ends_when_its_parent_is_killed(endless: Path) -> None:
    """A worker process ends when its parent is killed in the middle of an answer."""
    command = [sys.executable, "-c", _PARENT, str(endless)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    assert has_ended(pid)
