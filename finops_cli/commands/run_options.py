"""The options that `run`, `triage`, `resolve` and `evaluate` share, as the user gave them.

The fields of `ModelOptions` are the options themselves: `with_model_options` puts them into a
command's signature, and `backend_request` hands them on by name. A new option of a backend is one
field here and one of `BackendRequest`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from finops_cli.commands.options import (
    Guard,
    Hosts,
    KeepRaw,
    ResolverGguf,
    ResolverModel,
    Timeout,
    TriageGguf,
    TriageModel,
    Violation,
    is_typed,
)

if TYPE_CHECKING:
    from finops_cli.models.backend_request import BackendRequest
    from finops_cli.models.protocol import ModelStage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where a run reads and writes, and how it behaves. `source` "-" is stdin."""

    source: str
    output: str | None
    backend: str
    workers: int | None
    resume: bool
    overwrite: bool
    timing: bool
    quiet: bool
    stats_json: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which language models answer, and how their answers are treated. `timeout` is in seconds."""

    hosts: Hosts = None
    triage_model: TriageModel = None
    resolver_model: ResolverModel = None
    triage_gguf: TriageGguf = None
    resolver_gguf: ResolverGguf = None
    on_violation: Violation = "repair"
    keep_raw: KeepRaw = False
    timeout: Timeout = None
    guard: Guard = None


DEFAULT_MODEL_OPTIONS = ModelOptions()
_FROM_ENVIRONMENT = ("triage_gguf", "resolver_gguf")
"""Options that an environment variable may set."""


def with_model_options(*omitted: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the parameter `models` of a command by the options of `ModelOptions`.

    The command gets them as one `ModelOptions`; it does not have the options that are `omitted`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = _option_parameters(omitted)
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            parameters += options if parameter.name == "models" else [parameter]

        @functools.wraps(command)
        def expanded(**given: Any) -> None:
            models = ModelOptions(**{each.name: given.pop(each.name) for each in options})
            command(**given, models=models)

        expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        expanded.__annotations__ = {each.name: each.annotation for each in parameters}
        return expanded

    return decorate


def _option_parameters(omitted: tuple[str, ...]) -> list[inspect.Parameter]:
    hints = get_type_hints(ModelOptions, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(ModelOptions)
        if field.name not in omitted
    ]


def backend_request(
    context: typer.Context,
    options: RunOptions,
    models: ModelOptions,
    stages: tuple[ModelStage, ...],
) -> BackendRequest:
    """Collect the options of a call that concern the backend."""
    from finops_cli.models.backend_request import BackendRequest

    names = {field.name for field in fields(BackendRequest)}
    given = {field.name: getattr(models, field.name) for field in fields(models)}
    given["hosts"] = tuple(models.hosts or ())
    return BackendRequest(
        backend=options.backend,
        stages=stages,
        workers=options.workers,
        from_environment=frozenset(
            name for name in _FROM_ENVIRONMENT if not is_typed(context, name)
        ),
        **{name: value for name, value in given.items() if name in names},
    )
