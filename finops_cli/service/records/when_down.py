"""What a service does while its models do not answer: refuse at once, or let the rules answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal, TypeVar, get_args

from msgspec.structs import replace

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.models.failures import EndpointsDown, NoEndpointLeft, Unreachable
from finops_cli.models.protocol import Answer, AttemptError, Backend, CanReload, HasEndpoints
from finops_cli.service.problems import ServiceError

A = TypeVar("A")
WhenDown = Literal["refuse", "engine"]
POLICIES: tuple[WhenDown, ...] = get_args(WhenDown)
_SECONDS = 30
"""The wait that is proposed where a model is gone for good."""


class EngineWhenDown:
    """A backend of language models whose place the rules take while no model answers."""

    def __init__(self, backend: Backend, kb: KnowledgeBase) -> None:
        self.origin = backend.origin
        self._backend = backend
        self._engine = Engine(kb)

    @property
    def concurrency(self) -> int:
        return self._backend.concurrency

    @property
    def must_alternate(self) -> bool:
        return self._backend.must_alternate

    def prepare(self, stage: StageName) -> None:
        self._backend.prepare(stage)

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        return self._ask("triage", lambda each: each.triage(fail))

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        return self._ask("resolver", lambda each: each.resolve(case))

    def model_changes(self) -> tuple[str, ...]:
        return self._backend.model_changes()

    def endpoint_states(self) -> dict[str, str]:
        """Return the state of each server of the models."""
        return states_of(self._backend)

    def reload(self, stage: StageName) -> None:
        """Load the model of a stage again. Raises UsageError where the backend cannot."""
        reload_model(self._backend, stage)

    def close(self) -> None:
        self._backend.close()

    def _ask(self, stage: StageName, ask: Callable[[Backend], Answer[A]]) -> Answer[A]:
        try:
            return ask(self._backend)
        except NoEndpointLeft as error:
            answer = ask(self._engine)
            finding = Finding(
                rule=Unreachable.rule,
                path="",
                expected="an answer",
                actual=None,
                message=str(error),
            )
            failure = AttemptError(stage=stage, attempt=1, rules=(finding.rule,))
            return replace(answer, status="fallback", findings=[finding], attempt_errors=(failure,))


def states_of(backend: Backend) -> dict[str, str]:
    """Return the state of each server behind a backend; empty for one without servers."""
    return backend.endpoint_states() if isinstance(backend, HasEndpoints) else {}


def reload_model(backend: Backend, stage: StageName) -> None:
    """Load the model of a stage again. Raises UsageError for a backend without models."""
    if not isinstance(backend, CanReload):
        raise UsageError(f"{backend.origin.name} has no model to load again", "name a model")
    backend.reload(stage)


def is_down(backend: Backend) -> bool:
    """Return true if a backend has servers and none of them is in use."""
    states = states_of(backend)
    return bool(states) and "closed" not in states.values()


def model_down(error: NoEndpointLeft) -> ServiceError:
    """Return the error of a request that no model answers."""
    seconds = error.seconds if isinstance(error, EndpointsDown) else _SECONDS
    return ServiceError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "model-down",
        error.one_line(),
        retry_after=max(1, math.ceil(seconds)),
    )
