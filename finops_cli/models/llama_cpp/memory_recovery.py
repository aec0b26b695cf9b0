"""Recovery of a model in a process of its own that ran out of memory."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Literal, Protocol

from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.failures import ModelError
from finops_cli.models.llama_cpp.admission import AdmissionControl
from finops_cli.models.llama_cpp.memory import reduce_load
from finops_cli.models.llama_cpp.messages import Load
from finops_cli.models.llama_cpp.worker_process import WorkerProcess
from finops_cli.models.recovery.incidents import BOARD, Incident
from finops_cli.models.recovery.ladder import IN_PROCESS, MemoryLadder, Rung, lacks_memory


class Recoverable(Protocol):
    """The part of a model that the recovery uses."""

    admission: AdmissionControl

    @property
    def load(self) -> Load: ...

    @property
    def max_tokens(self) -> int | None: ...

    def change_load(self, load: Load) -> None:
        """Load the model with other settings from its next process on."""
        ...

    def make_room(self) -> bool:
        """Unload the other models; false if no other model is loaded."""
        ...


class MemoryRecovery:
    """Acts on each lack of memory of one model, once for all requests that fail with it."""

    def __init__(self, model: Recoverable, settings: ModelSettings) -> None:
        self._model = model
        self._settings = settings
        self._lock = Lock()
        """Held while the ladder changes. The holder may unload other models, but loads none."""
        self._ladder = MemoryLadder(IN_PROCESS, settings)
        self._longest_prompt = 0
        """Tokens of the longest prompt so far."""
        self._seen: WorkerProcess | None = None
        """The last process whose lack of memory was acted on."""

    def succeeded(self, prompt_tokens: int) -> None:
        """Note an answer to a prompt."""
        with self._lock:
            self._longest_prompt = max(self._longest_prompt, prompt_tokens)
            is_first = self._ladder.succeeded()
        if is_first:
            self._tell("recovered", {})

    def failed(self, process: WorkerProcess, failure: ModelError) -> None:
        """Act on a failure of `process`, if memory ran out (kb: `recovery.out_of_memory`)."""
        if not lacks_memory(failure, self._settings):
            return
        process.stop()
        with self._lock:
            if process is self._seen:
                return
            self._seen = process
            rung = self._ladder.climb(monotonic(), self._act)
        if rung == "give way":
            self._model.admission.trip()
        load = self._model.load
        facts = {"rung": rung, "sequences": load.sequences * load.groups, "context": load.context}
        self._tell("oom", facts)

    def _act(self, rung: Rung) -> bool:
        """Do what a rung says; false if it changes nothing. The next request loads the model."""
        if rung == "alternate":
            return self._model.make_room()
        if rung in ("reload", "give way"):
            return True  # the process has ended, and the next request starts another
        load = self._model.load
        changed = reduce_load(load, rung, self._longest_prompt, self._model.max_tokens)
        self._model.change_load(changed)
        return changed != load

    def _tell(self, name: Literal["oom", "recovered"], facts: dict[str, Any]) -> None:
        file = Path(self._model.load.path).name
        BOARD.tell(Incident(name, self._model.admission.backend, file, facts))
