"""Who answers the two questions of the desk, and what an answer is.

A `Backend` answers with typed, judged answers. The engine is one. A language model becomes one
through `models.verified`, which asks a `Speaker` (a model behind a server, or in the process) for
text, reads it, and has it judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.enums import Status
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage

A = TypeVar("A")
ModelStage = Literal["triage", "resolver"]


class ModelNames(Struct, frozen=True):
    """Which model answered each stage; null where none did."""

    triage: str | None = None
    resolver: str | None = None


class Attempt(Struct, frozen=True):
    """What was received when a model was asked once. `failure` is the rule of what kept it from
    being read (`reply.*`).

    `tokens` of the answer and the milliseconds that they took to say, where the backend tells.
    """

    attempt: int
    seed: int
    constrained: bool
    text: str | None
    failure: str | UnsetType = UNSET
    tokens: int | UnsetType = UNSET
    generating_ms: float | UnsetType = UNSET


class AttemptError(Struct, frozen=True, omit_defaults=True):
    """An attempt that did not stand as it came: the `rules` that its answer broke, and what the
    `server` did on the way to it.
    """

    stage: ModelStage
    attempt: int
    rules: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


class Answer(NamedTuple, Generic[A]):
    """`value` is what stands, None when nothing does; `findings` are those of the model's last
    word.
    """

    value: A | None
    status: Status = "ok"
    findings: Sequence[Finding] = ()
    attempts: int = 1
    troubles: tuple[AttemptError, ...] = ()
    tolerated: tuple[str, ...] = ()
    received: tuple[Attempt, ...] = ()


class Origin(NamedTuple):
    """What provenance and the note of a run say of a backend.

    `digests` are the models' own, `settings` all that sways an answer.
    """

    name: str
    models: ModelNames = ModelNames()
    digests: ModelNames | None = None
    prompt_sha256: str | None = None
    settings: str | None = None


class Backend(Protocol):
    """Answers triage and resolution.

    `lanes`: how many records it takes side by side (0: it answers at once, in this process).
    `must_alternate`: after `prepare`, whether its models must take turns, a chunk of records each.
    `changes`: what is no longer as `origin` says, for people.
    """

    origin: Origin

    @property
    def concurrency(self) -> int: ...

    @property
    def must_alternate(self) -> bool: ...

    def prepare(self, stage: ModelStage) -> None: ...

    def triage(self, fail: FailRecord) -> Answer[Triage]: ...

    def resolve(self, case: ResolverInput) -> Answer[Resolution]: ...

    def model_changes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...


class CompletionRequest(NamedTuple):
    """One request for text.

    `schema`: hold the answer to it from the first token. `predict`: answer tokens at most.
    """

    stage: ModelStage
    prompt: str
    seed: int
    schema: dict[str, Any] | None = None
    predict: int | None = None
    again: bool = False
    """Whether this prompt was sent before, so that a server may have it in its cache."""


class Completion(NamedTuple):
    """The text of an answer, and the rules (`reply.*`) of the failures that were overcome on the
    way to it.

    `tokens`: how many it has, `generating_ms`: how long they took to say; None where the backend
    does not tell.
    """

    text: str
    overcome: tuple[str, ...] = ()
    tokens: int | None = None
    generating_ms: float | None = None


class TextModel(Protocol):
    """A language model, or several, that says text. `speak` raises `failures.NoReply` when there is
    none to be had.

    `modelfile`: the name of the Modelfile that says how the model of a stage is asked. `room`: the
    tokens of its context.
    """

    origin: Origin

    @property
    def concurrency(self) -> int: ...

    @property
    def must_alternate(self) -> bool: ...

    def prepare(self, stage: ModelStage) -> None: ...

    def modelfile(self, stage: ModelStage) -> str: ...

    def context_size(self, stage: ModelStage) -> int: ...

    def complete(self, ask: CompletionRequest) -> Completion: ...

    def model_changes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...
