"""The protocols of backends and language models, and the type of their answers.

A `Backend` returns typed, checked answers. The rules engine is one. `models.verified_backend` makes
one from a `TextModel`, which runs on a server or in a process: it completes a prompt, and the
backend parses and checks the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.enums import Status
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import ANSWER_FIELDS, StageName
from finops_cli.domain.triage import Triage

A = TypeVar("A")


ModelNames = Mapping[StageName, str | None]
"""The name of the model that answers each stage; null for a stage without one."""


def names_by_stage(names: Mapping[StageName, str]) -> ModelNames:
    """Complete `names` with null for each stage that a run asks and that has no model."""
    return {**dict.fromkeys(ANSWER_FIELDS), **names}


class Attempt(Struct, frozen=True, kw_only=True):
    """The text that a model returned to one request."""

    attempt: int
    seed: int
    constrained: bool
    text: str | None
    failure: str | UnsetType = UNSET
    """The rule (`reply.*`) of the failure that ended the request."""
    tokens: int | UnsetType = UNSET
    generating_ms: float | UnsetType = UNSET
    """Time of the answer in milliseconds; absent if the backend does not report it."""


class AttemptError(Struct, frozen=True, omit_defaults=True):
    """An attempt that was not accepted unchanged."""

    stage: StageName
    attempt: int
    rules: tuple[str, ...] = ()
    """Rules that the answer broke."""
    server: tuple[str, ...] = ()
    """Rules of the server's failures before the answer came."""


class Answer(Struct, Generic[A], frozen=True):
    """The answer of a backend to one stage of a record."""

    value: A | None
    """None when nothing is accepted."""
    status: Status = "ok"
    findings: Sequence[Finding] = ()
    """Findings in the model's last answer."""
    attempts: int = 1
    attempt_errors: tuple[AttemptError, ...] = ()
    format_warnings: tuple[str, ...] = ()
    attempt_log: tuple[Attempt, ...] = ()


class Origin(NamedTuple):
    """The parts of provenance and of a run's notes that describe a backend."""

    name: str
    is_model: bool
    """True if a language model reads the records: their text is guarded, its answers graded."""
    models: ModelNames = names_by_stage({})
    digests: ModelNames | None = None
    """Digests of the model files; None if they are unknown, as for a remote API."""
    prompt_sha256: str | None = None
    settings: str | None = None
    """Every setting that influences an answer."""


class Backend(Protocol):
    """Answers triage and resolution."""

    origin: Origin

    @property
    def concurrency(self) -> int:
        """Return the number of records processed at once (0: synchronously in this process)."""
        ...

    @property
    def must_alternate(self) -> bool:
        """Return true if its models must alternate, with a batch of records each. Valid after
        `prepare`.
        """
        ...

    def prepare(self, stage: StageName) -> None: ...

    def triage(self, fail: FailRecord) -> Answer[Triage]: ...

    def resolve(self, case: ResolverInput) -> Answer[Resolution]: ...

    def model_changes(self) -> tuple[str, ...]:
        """Return sentences about models that no longer match `origin`."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class HasEndpoints(Protocol):
    """A model on servers, each with a circuit breaker."""

    def endpoint_states(self) -> dict[str, str]:
        """Return the state of the breaker of each server by its address."""
        ...


@runtime_checkable
class CanReload(Protocol):
    """A model, or a backend of models, that can be loaded again while it answers."""

    def reload(self, stage: StageName) -> None:
        """Free the memory of the model of a stage, and load it again.

        Requests in work are asked again. Raises UsageError or MissingPiece if it cannot be loaded.
        """
        ...


class CompletionRequest(NamedTuple):
    """One request for text."""

    stage: StageName
    prompt: str
    seed: int
    schema: dict[str, Any] | None = None
    """The answer must match this schema from the first token."""
    max_tokens: int | None = None
    """Maximum number of tokens in the answer."""
    choices: tuple[str, ...] = ()
    """The only answers. A runtime that knows their logits reports them and generates nothing."""
    top_logprobs: int = 0
    """Number of the likeliest first tokens that a server should list; 0: none."""
    is_repeat: bool = False
    """True if this prompt was sent before, so that a server may have it in its cache."""


class Completion(NamedTuple):
    """The text of an answer."""

    text: str
    overcome: tuple[str, ...] = ()
    """Rules (`reply.*`) of the failures before the text came."""
    tokens: int | None = None
    generating_ms: float | None = None
    """Time of the text in milliseconds; None if the backend does not report it."""
    choice_logits: tuple[float, ...] = ()
    """The logit of each choice of the request."""
    are_whole: bool = False
    """True if these are the logits of whole answers, not of their first tokens."""
    first_logprobs: tuple[tuple[str, float], ...] = ()
    """The likeliest first tokens with the logarithms of their probabilities."""
    prompt_tokens: int | None = None
    """Tokens of the prompt, where the backend counts them."""
    is_unconstrained: bool = False
    """True if the request has a schema that the server cannot hold the answer to."""


class TextModel(Protocol):
    """One or several language models that complete a prompt."""

    origin: Origin

    @property
    def concurrency(self) -> int: ...

    @property
    def must_alternate(self) -> bool: ...

    def prepare(self, stage: StageName) -> None: ...

    def modelfile(self, stage: StageName) -> str:
        """Return the name of the Modelfile that defines the prompt of a stage."""
        ...

    def context_size(self, stage: StageName) -> int:
        """Return the number of tokens of the context."""
        ...

    def complete(self, request: CompletionRequest) -> Completion:
        """Generate text. Raises `failures.ModelError` if it cannot."""
        ...

    def model_changes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...
