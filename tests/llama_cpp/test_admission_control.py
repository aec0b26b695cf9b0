"""Admission control of an embedded model: a request that crashes its process affects its neighbours
only once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.llama_cpp.messages import Generate, GenerationResult, Load, Sampling
from finops_cli.models.llama_cpp.model import LlamaCppModel, Profile
from finops_cli.models.llama_cpp.worker_process import Died, NotLoaded
from finops_cli.models.protocol import CompletionRequest, Origin
from tests.support.cures import cured_by

TOGETHER = 4


class FragileProcess:
    """A stand-in process that answers when `TOGETHER` requests wait or a moment has passed, and
    dies at a prompt with "kills".
    """

    def __init__(self, log: Counter[str]) -> None:
        self.alive, self.has_gpu = True, False
        self._log = log
        self._inside: list[str] = []
        self._changed = Condition()
        self._death = Died("the process of the model was ended by signal 11")

    def ready(self, patience: float) -> None:
        """Return at once."""

    def generate(self, request: Generate, seconds: float, silence: float) -> GenerationResult:
        with self._changed:
            self._inside.append(request.prompt)
            self._log[request.prompt] += 1
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: len(self._inside) >= TOGETHER or not self.alive, timeout=0.05
            )
            if any(prompt.startswith("kills") for prompt in self._inside):
                self.alive = False
                self._changed.notify_all()
            self._inside.remove(request.prompt)
            if not self.alive:
                raise failures.Crashed(str(self._death)) from self._death
        return GenerationResult(
            number=request.number, text=request.prompt.upper(), end="stop", prompt_tokens=1
        )

    def stop(self) -> None:
        self.alive = False


def model_with(kb: KnowledgeBase, start: Callable[[Load], object]) -> LlamaCppModel:
    one = Profile(
        load=Load(path="model.gguf", context=1000, sequences=TOGETHER), sampling=Sampling()
    )
    return LlamaCppModel(
        origin=Origin("llama-cpp", is_model=True),
        profiles={"triage": one},
        settings=kb.models,
        start=start,
    )  # type: ignore[arg-type]


def outcome(model: LlamaCppModel, prompt: str) -> str:
    try:
        return model.complete(CompletionRequest("triage", prompt, 1)).text
    except failures.ModelError as failure:
        return failure.rule


@pytest.mark.parametrize("poison", [1, 2, 4])
def test_requests_that_kill_the_process_end_isolated(poison: int, quick: KnowledgeBase) -> None:
    """Requests that kill the process are retried alone and then settled without the model. Every
    other request is answered.
    """
    log: Counter[str] = Counter()
    model = model_with(quick, lambda _: FragileProcess(log))
    good = [f"record {n}" for n in range(12)]
    texts = [*good[:2], *(f"kills {n}" for n in range(poison)), *good[2:]]
    with ThreadPoolExecutor(TOGETHER) as threads:
        outcomes = list(threads.map(lambda text: outcome(model, text), texts))
    assert outcomes == [text.upper() if text in good else "reply.crashed" for text in texts]
    assert {log[text] for text in texts if text not in good} == {
        1 + quick.models.retries["crashed"]
    }


def test_process_that_never_loads_is_given_up(quick: KnowledgeBase) -> None:
    """A process that cannot be loaded is tried a limited number of times. Then the run ends with
    the last reason and a fix.
    """
    tries: list[int] = []

    def start(_: Load) -> object:
        tries.append(1)
        raise NotLoaded("no memory", by_itself=True)

    model = model_with(quick, start)
    with (
        ThreadPoolExecutor(8) as threads,
        pytest.raises(
            failures.NoEndpointLeft,
            match="no memory",
            check=cured_by(r"free some memory.*--resume"),
        ),
    ):
        list(threads.map(lambda n: outcome(model, f"record {n}"), range(16)))
    settings = quick.models.breaker
    assert (
        len(tries) <= settings["failures"] + settings["probes"] + 8
    )  # those already inside when it opened
