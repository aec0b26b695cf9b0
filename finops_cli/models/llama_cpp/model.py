"""Language models in processes of this machine as a `TextModel`: what is sent, how often, and what
becomes of a process that dies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import Identity, identity
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models import failures
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.failures import ModelError
from finops_cli.models.llama_cpp.admission import AdmissionControl
from finops_cli.models.llama_cpp.messages import Generate, GenerationResult, Load, Sampling
from finops_cli.models.llama_cpp.worker_process import NotLoaded, WorkerProcess
from finops_cli.models.protocol import Completion, CompletionRequest, ModelStage, Origin
from finops_cli.models.retry_policy import RetryBudget


class Profile(Struct, frozen=True):
    """A model and how it is asked. `max_tokens`: tokens of an answer at most, None for what the
    context has room for.

    `identity`: the file whose digest the lines carry; None where they carry none. `modelfile`: what
    it is asked by; None: its stage's.
    """

    load: Load
    sampling: Sampling
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    identity: Identity | None = None
    modelfile: str | None = None


class LlamaCppModel:
    """Answers with one process for each model.

    `timeout` is the seconds that one answer may take; `must_alternate`: only one model fits.
    """

    def __init__(
        self,
        origin: Origin,
        profiles: Mapping[ModelStage, Profile],
        settings: ModelSettings,
        timeout: float | None = None,
        must_alternate: bool = False,
        start: Callable[[Load], WorkerProcess] = WorkerProcess,
    ) -> None:
        self.origin = origin
        self.must_alternate = must_alternate
        self._models = {
            stage: Model(profile, settings, start) for stage, profile in profiles.items()
        }
        self._settings = settings
        self._timeout = timeout

    @property
    def concurrency(self) -> int:
        """More than what is answered at once: while an answer is judged, the next request is
        already waiting.
        """
        return sum(2 * model.at_once for model in self._models.values())

    def prepare(self, stage: ModelStage) -> None:
        """Load the model; where they take turns, the other one goes. Raises UsageError or
        MissingPiece when it cannot be loaded.

        How much memory a model takes is an estimate until it is loaded: where one fails beside
        another, they take turns from then on.
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

    def modelfile(self, stage: ModelStage) -> str:
        """The Modelfile that the model was made for."""
        return self._models[stage].profile.modelfile or stage

    def context_size(self, stage: ModelStage) -> int:
        """Tokens of the context: those of a prompt and its answer."""
        return self._models[stage].profile.load.context

    def complete(self, request: CompletionRequest) -> Completion:
        """The text that the model says.

        Raises ModelError when the retries of `model.retries` are used up, or NoEndpointLeft.
        """
        _refuse_invalid_unicode(request.prompt)
        model = self._models[request.stage]
        seconds = self._timeout or self._settings.timeouts[request.stage]
        retries = RetryBudget(self._settings, request.prompt)
        suspect = False
        while True:
            try:
                with model.admission.admit(suspect):
                    result = model.generate(request, seconds)
                return Completion(
                    _require_whole_text(result, model.profile),
                    tuple(retries.overcome),
                    result.tokens,
                    result.generating_ms or None,
                )
            except ModelError as failure:
                suspect = suspect or isinstance(failure, failures.Crashed)
                retries.spend(failure, failure.policy)
            if model.admission.open:
                retries.pause()

    def model_changes(self) -> tuple[str, ...]:
        """Files that are no longer the ones that the run began with."""
        replaced = [
            model.profile.load.path for model in self._models.values() if model.is_replaced()
        ]
        return tuple(f"{path} was replaced during the run" for path in replaced)

    def close(self) -> None:
        """End the processes; what waits for an answer gets none, and nothing is loaded any more."""
        for model in self._models.values():
            model.unload(for_good=True)


def _unload(models: Iterable[Model]) -> None:
    for model in models:
        model.unload()


class Model:
    """One model: its process, loaded anew when it has died."""

    def __init__(
        self, profile: Profile, settings: ModelSettings, start: Callable[[Load], WorkerProcess]
    ) -> None:
        self.profile = profile
        self.at_once = profile.load.sequences * profile.load.groups
        cure = (
            "free some memory, or take a smaller model or context or fewer --workers, and"
            f" `--resume`; {profile.load.path} was used"
        )
        self.admission = AdmissionControl(CircuitBreaker(settings.breaker), cure)
        self._settings = settings
        self._loading = Lock()
        """Held through a load: who else wants the model waits for it here."""
        self._holding = Lock()
        """Held where `_process` or `_closed` changes, never through a load: a model can be closed
        in the middle of it.
        """
        self._start = start
        self._process: WorkerProcess | None = None
        self._closed = False

    @property
    def in_memory(self) -> bool:
        """Return true when it is loaded."""
        return self._process is not None and self._process.alive

    def is_replaced(self) -> bool:
        """Tell whether its file is another one than that whose digest the lines carry, or gone."""
        known = self.profile.identity
        if known is None:
            return False
        try:
            return identity(Path(self.profile.load.path)) != known
        except OSError:
            return True

    def prepare(self) -> None:
        """Load it, unless it is.

        Before the first record there is nothing to wait for: what keeps it from loading is said at
        once.
        """
        try:
            self._load_process()
        except NotLoaded as error:
            message = f"{self.profile.load.path}: llama.cpp cannot load it: {error}"
            if error.by_itself:
                raise UsageError(
                    message, "take another GGUF file, a smaller context, or fewer --workers"
                ) from error
            raise MissingPiece(
                message, "free some memory, or take a smaller model, or fewer --workers"
            ) from error

    def generate(self, request: CompletionRequest, seconds: float) -> GenerationResult:
        """The answer to `request`.

        Raises Crashed when the process dies over it, Unreachable when it cannot be loaded.
        """
        try:
            process = self._load_process()
        except NotLoaded as error:
            raise failures.Unreachable(f"the model cannot be loaded: {error}") from error
        profile = self.profile
        max_tokens = profile.max_tokens if request.max_tokens is None else request.max_tokens
        schema = None if request.schema is None else msgspec.json.encode(request.schema)
        generate = Generate(
            0, request.prompt, request.seed, profile.sampling, profile.stops, max_tokens, schema
        )
        return process.generate(generate, seconds, max(seconds, self._settings.timeouts["silence"]))

    def unload(self, for_good: bool = False) -> None:
        """End its process, also one that is still loading."""
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
            except NotLoaded:
                self._refuse_closed()
                raise
            return process

    def _current_process(self) -> WorkerProcess:
        """The process, a new one where there is none that lives.

        The old one is gone first: memory holds one model, not two.
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
                f"{self.profile.load.path} is no longer the file that the run began with, and its"
                " lines carry that one's digest",
                "put it back and --resume, or begin a new run",
            )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise failures.NoEndpointLeft(
                "the models have been unloaded", "start the run again with --resume"
            )


def _require_whole_text(result: GenerationResult, profile: Profile) -> str:
    """The text of an answer that came to its end; raises what kept it from that."""
    if result.end == "context":
        context_size = profile.load.context
        raise failures.ContextExceeded(
            f"the prompt is {result.prompt_tokens:,} tokens, the context"
            f" has room for {context_size:,}"
        )
    if result.end == "refused":
        raise failures.Rejected(result.text)
    if len(result.text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(result.text):,} characters came", result.text[: limits.REPLY_CHARS]
        )
    if result.end == "length":
        cut = failures.Truncated(f"the answer was cut after {result.tokens:,} tokens", result.text)
        cut.prompt_tokens = result.prompt_tokens
        raise cut
    return result.text


def _refuse_invalid_unicode(prompt: str) -> None:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise failures.Rejected(
            f"the prompt is no Unicode text: {error.reason} at character {error.start:,}"
        ) from error
