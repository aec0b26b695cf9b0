"""Language models in processes of this machine as a `TextModel`.

The module sends requests, retries them, and restarts a process that died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import Identity, identity
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models import failures
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.failures import ModelError
from finops_cli.models.llama_cpp.admission import AdmissionControl
from finops_cli.models.llama_cpp.memory_recovery import MemoryRecovery
from finops_cli.models.llama_cpp.messages import Generate, GenerationResult, Load, Sampling
from finops_cli.models.llama_cpp.replies import refuse_invalid_unicode, require_whole_text
from finops_cli.models.llama_cpp.worker_process import NotLoaded, WorkerProcess
from finops_cli.models.protocol import Completion, CompletionRequest, Origin
from finops_cli.models.recovery.incidents import BOARD
from finops_cli.models.retry_policy import RetryBudget
from finops_cli.models.sharing.turns import TurnQueue


class Profile(Struct, frozen=True, kw_only=True):
    """A model and its request settings."""

    load: Load
    sampling: Sampling
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    """Maximum number of tokens in an answer; None: as many as the context allows."""
    identity: Identity | None = None
    """The file whose digest the lines contain; None if they contain none."""
    parts: tuple[tuple[str, Identity], ...] = ()
    """The files of a model that is a folder."""
    modelfile: str | None = None
    """The Modelfile for its prompt; None: the Modelfile of its stage."""


class Runtime(NamedTuple):
    """The program of a worker process, for messages."""

    name: str
    cure: str
    """The fix for a model that it cannot load."""


LLAMA_CPP = Runtime("llama.cpp", "use another GGUF file, a smaller context, or fewer --workers")


class LlamaCppModel:
    """Model with one process for each stage.

    `timeout` is the seconds that one answer may take. `must_alternate` is true if only one model
    fits into memory. `runtime` is the program of the processes that `start` starts.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[StageName, Profile],
        settings: ModelSettings,
        timeout: float | None = None,
        must_alternate: bool = False,
        start: Callable[[Load], WorkerProcess] = WorkerProcess,
        runtime: Runtime = LLAMA_CPP,
    ) -> None:
        self.origin = origin
        self.must_alternate = must_alternate
        self._models = {
            stage: Model(profile, settings, start, runtime) for stage, profile in profiles.items()
        }
        for model in self._models.values():
            model.admission.backend = origin.name
            model.unload_others = partial(self._unload_others, model)
        self._settings = settings
        self._timeout = timeout
        self.turns: TurnQueue | None = None
        self._sharing = Lock()
        BOARD.add_probe(origin.name, self.describe)

    @property
    def threads(self) -> tuple[int, ...]:
        """Return the threads that decode one batch, by model."""
        return tuple(model.profile.load.threads for model in self._models.values())

    def describe_sharing(self) -> str:
        """Say how the models share the processor; empty if they do not. Valid after `prepare`."""
        if self.turns is None:
            return ""
        return "no model file is on a GPU: the models take turns on the processor"

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the state of each model, for a diagnosis."""
        return {stage: model.describe() for stage, model in self._models.items()}

    @property
    def concurrency(self) -> int:
        """Return the number of concurrent requests.

        It is higher than the number of answers decoded at once, so that a request waits while an
        answer is checked.
        """
        return sum(2 * model.at_once for model in self._models.values())

    def prepare(self, stage: StageName) -> None:
        """Load the model of a stage. If the models alternate, unload the other one.

        The memory of a model is an estimate until it is loaded. If loading fails beside another
        model, the models alternate from then on. Raises UsageError or MissingPiece if it cannot be
        loaded.
        """
        model = self._models[stage]
        others = [other for other in self._models.values() if other is not model]
        if self.must_alternate:
            _unload(others)
        try:
            model.prepare()
        except (UsageError, MissingPiece):
            if not any(other.in_memory for other in others):
                raise
            self.must_alternate = True
            _unload(others)
            model.prepare()
        self._share_processor()

    def reload(self, stage: StageName) -> None:
        """End the process of a model, which frees its memory, and load it again."""
        self._models[stage].unload()
        self.prepare(stage)

    def _share_processor(self) -> None:
        """Let the models take turns if their threads would compete."""
        with self._sharing:
            if self.turns is None and _compete(self._models.values()):
                self.turns = TurnQueue(self._settings.alternation_batch)

    def _unload_others(self, mine: Model) -> bool:
        """Unload the other models; false if none is loaded. From then on they alternate."""
        others = [each for each in self._models.values() if each is not mine and each.in_memory]
        if others:
            self.must_alternate = True
            _unload(others)
        return bool(others)

    def modelfile(self, stage: StageName) -> str:
        """Return the Modelfile that the model was trained for."""
        return self._models[stage].profile.modelfile or stage

    def context_size(self, stage: StageName) -> int:
        """Return the tokens of the context, which a prompt and its answer share."""
        return self._models[stage].profile.load.context

    def complete(self, request: CompletionRequest) -> Completion:
        """Return the model's answer to `request`.

        Raises ModelError if the retries of `model.retries` are used up, and NoEndpointLeft.
        """
        refuse_invalid_unicode(request.prompt)
        model = self._models[request.stage]
        seconds = self._timeout or self._settings.timeout_of(request.stage)
        retries = RetryBudget(self._settings, request.prompt)
        suspect = False
        while True:
            try:
                self._share_processor()  # a service prepares no model
                turn = nullcontext() if self.turns is None else self.turns.turn(request.stage)
                with model.admission.admit(suspect), turn:
                    result = model.generate(request, seconds)
                return Completion(
                    require_whole_text(result, model.profile.load.context),
                    tuple(retries.overcome),
                    result.tokens,
                    result.generating_ms or None,
                    choice_logits=result.choice_logits,
                    are_whole=result.are_whole,
                    prompt_tokens=result.prompt_tokens,
                )
            except ModelError as failure:
                suspect = suspect or isinstance(failure, failures.Crashed)
                retries.spend(failure, failure.policy)
            if model.admission.open:
                retries.pause()

    def model_changes(self) -> tuple[str, ...]:
        """Return a sentence for each file that was replaced during the run."""
        replaced = [
            model.profile.load.path for model in self._models.values() if model.is_replaced()
        ]
        return tuple(f"{path} was replaced during the run" for path in replaced)

    def close(self) -> None:
        """End the processes. Waiting requests get no answer, and no model is loaded again."""
        BOARD.remove_probe(self.origin.name, self.describe)
        for model in self._models.values():
            model.unload(for_good=True)


def _unload(models: Iterable[Model]) -> None:
    for model in models:
        model.unload()


class Model:
    """One model: its process, which is started again after it has died."""

    def __init__(
        self,
        profile: Profile,
        settings: ModelSettings,
        start: Callable[[Load], WorkerProcess],
        runtime: Runtime = LLAMA_CPP,
    ) -> None:
        self.profile = profile
        self._runtime = runtime
        self.at_once = profile.load.sequences * profile.load.groups
        cure = (
            "free some memory, or use a smaller model or context or fewer --workers, and"
            f" `--resume`; {profile.load.path} was used"
        )
        name = Path(profile.load.path).name
        self.admission = AdmissionControl(CircuitBreaker(settings.breaker), cure, model=name)
        self._settings = settings
        self._loading = Lock()
        """Held while loading, so that other requests for the model wait."""
        self._holding = Lock()
        """Held while `_process` or `_closed` changes, not while loading: then it can be closed."""
        self._start = start
        self._process: WorkerProcess | None = None
        self._closed = False
        self.unload_others: Callable[[], bool] = lambda: False
        self._recovery = MemoryRecovery(self, settings)

    @property
    def in_memory(self) -> bool:
        """Return true if the model is loaded."""
        return self._process is not None and self._process.alive

    @property
    def threads(self) -> int:
        """Return the threads that work on the processor; 0 on a GPU, or if it is not in memory."""
        process = self._process
        if process is None or not process.alive or process.has_gpu:
            return 0
        return self.profile.load.threads

    def describe(self) -> dict[str, Any]:
        """Return the state of the model and of its process, for a diagnosis."""
        load, process = self.profile.load, self._process
        return {
            "file": Path(load.path).name,
            "pid": None if process is None or not process.alive else process.pid,
            "breaker": self.admission.state,
            "sequences": load.sequences * load.groups,
            "context": load.context,
        }

    def is_replaced(self) -> bool:
        """Return true if a file of it was replaced or removed since its digest was computed."""
        known = self.profile.identity
        watched = [*self.profile.parts]
        if known is not None:
            watched.append((self.profile.load.path, known))
        try:
            return any(identity(Path(path)) != was for path, was in watched)
        except OSError:
            return True

    def prepare(self) -> None:
        """Load the model unless it is loaded.

        Nothing can be retried before the first record, so an error is raised at once.
        """
        try:
            self._load_process()
        except NotLoaded as error:
            message = f"{self.profile.load.path}: {self._runtime.name} cannot load it: {error}"
            if error.by_itself:
                raise UsageError(message, self._runtime.cure) from error
            raise MissingPiece(
                message, "free some memory, or use a smaller model, or fewer --workers"
            ) from error

    def generate(self, request: CompletionRequest, seconds: float) -> GenerationResult:
        """Return the answer to `request`.

        Raises Crashed if the process dies, Unreachable if the model cannot be loaded.
        """
        try:
            process = self._load_process()
        except NotLoaded as error:
            raise failures.Unreachable(f"the model cannot be loaded: {error}") from error
        profile = self.profile
        max_tokens = profile.max_tokens if request.max_tokens is None else request.max_tokens
        schema = None if request.schema is None else msgspec.json.encode(request.schema)
        generate = Generate(
            number=0,
            prompt=request.prompt,
            seed=request.seed,
            sampling=profile.sampling,
            stops=profile.stops,
            max_tokens=max_tokens,
            schema=schema,
            choices=request.choices,
        )
        silence = max(seconds, self._settings.timeouts["silence"])
        try:
            result = process.generate(generate, seconds, silence)
        except failures.Crashed as failure:
            self._recovery.failed(process, failure)
            raise
        self._recovery.succeeded(result.prompt_tokens)
        return result

    @property
    def load(self) -> Load:
        """Return the settings by which the model is loaded."""
        return self.profile.load

    @property
    def max_tokens(self) -> int | None:
        """Return the maximum number of tokens in an answer; None: the context decides."""
        return self.profile.max_tokens

    def change_load(self, load: Load) -> None:
        """Load the model with other settings from its next process on."""
        self.profile = msgspec.structs.replace(self.profile, load=load)

    def make_room(self) -> bool:
        """Unload the other models; false if no other model is loaded."""
        return self.unload_others()

    def unload(self, for_good: bool = False) -> None:
        """End the process, even while it is loading."""
        with self._holding:
            self._closed = self._closed or for_good
            if self._process is not None:
                self._process.stop()
                self._process = None

    def _load_process(self) -> WorkerProcess:
        with self._loading:
            process = self._current_process()
            try:
                process.ready(self._settings.timeouts["load"])
            except NotLoaded as error:
                self._refuse_closed()
                self._recovery.failed(process, failures.Unreachable(str(error)))
                raise
            return process

    def _current_process(self) -> WorkerProcess:
        """Return the running process, or start a new one.

        The old process is ended first, so that memory holds one model, not two.
        """
        with self._holding:
            self._refuse_closed()
            if self._process is not None and not self._process.alive:
                self._process.stop()
                self._process = None
            if self._process is None:
                self._refuse_replaced()
                self._process = self._start(self.profile.load)
            return self._process

    def _refuse_replaced(self) -> None:
        if self.is_replaced():
            raise failures.NoEndpointLeft(
                f"{self.profile.load.path} was replaced during the run, and the run's"
                " lines contain the digest of the old file",
                "restore it and give --resume, or start a new run",
            )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise failures.NoEndpointLeft(
                "the models have been unloaded", "start the run again with --resume"
            )


def _compete(models: Iterable[Model]) -> bool:
    """Return true if several models are on the processor, and the threads of one wait for each
    other: models of one thread each only become slower together.
    """
    threads = [model.threads for model in models if model.threads]
    return len(threads) > 1 and max(threads) > 1
