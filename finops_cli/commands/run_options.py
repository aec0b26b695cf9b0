"""The options that `run`, `triage`, `resolve` and `evaluate` share.

The fields of `RunOptions` and `ModelOptions` are the options themselves: `with_shared_options` puts
them into a command's signature. A new option of a backend is one field of `ModelOptions` and one of
`BackendRequest`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from finops_cli.commands.format_options import RunFormat
from finops_cli.commands.options import (
    Anonymous,
    ApiKeyFile,
    BackendOption,
    Fails,
    Guard,
    Hosts,
    KeepRaw,
    LoadIn4bit,
    MinRecords,
    ModelApi,
    Output,
    Overwrite,
    Prose,
    Quiet,
    ResolverAdapter,
    ResolverDir,
    ResolverGguf,
    ResolverModel,
    Resume,
    StatsJson,
    StrictInput,
    Timeout,
    Timing,
    TriageAdapter,
    TriageDir,
    TriageGguf,
    TriageModel,
    Violation,
    Workers,
    is_typed,
)
from finops_cli.commands.sentiment_options import SentimentGguf, SentimentModel
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.models.backends import AUTO

if TYPE_CHECKING:
    from finops_cli.domain.stage_names import StageName
    from finops_cli.models.backend_request import BackendRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where a run reads and writes, and how it behaves. `source` "-" is stdin."""

    source: Fails
    output: Output = None
    format_: RunFormat = "auto"
    backend: BackendOption = AUTO
    workers: Workers = None
    resume: Resume = False
    overwrite: Overwrite = False
    min_records: MinRecords = 0
    strict_input: StrictInput = False
    timing: Timing = True
    stats_json: StatsJson = None
    anonymous: Anonymous = False
    quiet: Quiet = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which language models answer, and how their answers are treated. `timeout` is in seconds."""

    hosts: Hosts = None
    api_key_file: ApiKeyFile = None
    api: ModelApi = None
    triage_model: TriageModel = None
    resolver_model: ResolverModel = None
    triage_gguf: TriageGguf = None
    resolver_gguf: ResolverGguf = None
    triage_dir: TriageDir = None
    resolver_dir: ResolverDir = None
    triage_adapter: TriageAdapter = None
    resolver_adapter: ResolverAdapter = None
    load_in_4bit: LoadIn4bit = False
    on_violation: Violation = "repair"
    prose: Prose = "strict"
    keep_raw: KeepRaw = False
    timeout: Timeout = None
    guard: Guard = None


def list_tone_backends() -> list[str]:
    """List the values of --sentiment."""
    from finops_cli.models.sentiment.backends import sentiment_backend_names

    return sentiment_backend_names()


def _check_tone_backend(name: str | None) -> str | None:
    if name is not None and name not in list_tone_backends():
        raise BadChoice(name, list_tone_backends())
    return name


ToneBackend = Annotated[
    str | None,
    typer.Option(
        "--sentiment",
        metavar="[BACKEND]",
        callback=_check_tone_backend,
        help="Add the tone of `notes` beside each fail, by a backend of `finops sentiment`"
        " (--sentiment alone: auto). It changes no score. The default of --guard is then require.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunModelOptions(ModelOptions):
    """The models of a run, and the one that reads the tone of notes."""

    sentiment: ToneBackend = None
    sentiment_model: SentimentModel = None
    sentiment_gguf: SentimentGguf = None


def with_shared_options(
    *omitted: str, **retyped: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace each parameter of a command that is a class of options by its fields.

    The command line then has an option for each field, and the command gets them as one object.

    Args:
        omitted: Fields that are not options of this command; they keep their defaults.
        retyped: Other annotations for fields, by name, such as another metavar.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        shared: dict[str, tuple[type, list[str]]] = {}
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            kind = parameter.annotation
            if isinstance(kind, type) and is_dataclass(kind):
                options = list(_option_parameters(kind, omitted, retyped))
                names = [each.name for each in options]
                shared[parameter.name] = (kind, names)
                parameters += options
            else:
                parameters.append(parameter)

        @functools.wraps(command)
        def expanded(**given: Any) -> None:
            objects = {
                name: kind(**{each: given.pop(each) for each in names})
                for name, (kind, names) in shared.items()
            }
            command(**given, **objects)

        expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        expanded.__annotations__ = {each.name: each.annotation for each in parameters}
        return expanded

    return decorate


def _option_parameters(
    kind: type, omitted: tuple[str, ...], retyped: Mapping[str, object]
) -> Iterator[inspect.Parameter]:
    hints = {**get_type_hints(kind, include_extras=True), **retyped}
    for field in fields(kind):
        if field.name not in omitted:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=hints[field.name],
            )


def backend_request(
    context: typer.Context,
    options: RunOptions,
    models: ModelOptions,
    stages: tuple[StageName, ...],
) -> BackendRequest:
    """Collect the options of a call that concern the backend."""
    untyped = frozenset(
        f"--{stage}-gguf" for stage in ANSWER_FIELDS if not is_typed(context, f"{stage}_gguf")
    )
    request = replace(
        model_request(models),
        backend=options.backend,
        stages=stages,
        workers=options.workers,
        from_environment=untyped,
    )
    return _without_servers_of_tone(request, models)


def tone_of(models: ModelOptions) -> str | None:
    """Return the backend of --sentiment; None for a command without it."""
    return getattr(models, "sentiment", None)


def _without_servers_of_tone(request: BackendRequest, models: ModelOptions) -> BackendRequest:
    """Leave out the servers that only --sentiment asks: the backend of the fails has none."""
    from finops_cli.models.backends import AUTO, BACKENDS

    tone, spec = tone_of(models), BACKENDS.get(request.backend)
    if tone not in (AUTO, "ollama", "openai") or spec is None or "hosts" in spec.options:
        return request
    own = replace(request, hosts=())
    return replace(own, api_key_file=None, api=None) if tone == "openai" else own


def model_request(models: ModelOptions) -> BackendRequest:
    """Collect the options of a call that concern language models."""
    from finops_cli.models.backend_request import BackendRequest

    names = {field.name for field in fields(BackendRequest)}
    given = {field.name: getattr(models, field.name) for field in fields(models)}
    given["hosts"] = tuple(models.hosts or ())
    return BackendRequest(
        models=_collect_by_stage(given, "model"),
        ggufs=_collect_by_stage(given, "gguf"),
        folders=_collect_by_stage(given, "dir"),
        adapters=_collect_by_stage(given, "adapter"),
        **{name: value for name, value in given.items() if name in names},
    )


def _collect_by_stage(given: Mapping[str, Any], kind: str) -> dict[StageName, Any]:
    """Collect the values of --STAGE-KIND for each stage that a run asks, where they are given."""
    values = {stage: given.get(f"{stage}_{kind}") for stage in ANSWER_FIELDS}
    return {stage: value for stage, value in values.items() if value is not None}
