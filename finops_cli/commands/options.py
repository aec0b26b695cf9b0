"""Options that several verbs share, so that each is described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.domain.enums import GuardMode, OnViolation
from finops_cli.models.backends import AUTO, BACKENDS, backend_names

Fails = Annotated[
    str,
    typer.Argument(
        metavar="FAILS.jsonl", help="Fail records, one JSON object per line; - for stdin."
    ),
]
Cases = Annotated[
    str,
    typer.Argument(
        metavar="CASES.jsonl", help="Resolver inputs, one JSON object per line; - for stdin."
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT.jsonl", help="Where to write; stdout when absent or -."
    ),
]


def _check_backend(name: str) -> str:
    if name not in backend_names():
        raise typer.BadParameter(f"{name} is not a backend; accepted: {', '.join(backend_names())}")
    return name


_SUMMARIES = "\n".join(f"{spec.name}: {spec.summary}" for spec in BACKENDS.values())
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        callback=_check_backend,
        help=(f"What answers.\n\n\b\n{AUTO}: the first of these that can answer\n{_SUMMARIES}"),
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=256,
        help=(
            "Engine: processes side by side (1). Ollama: requests at once to each server (1)."
            " llama.cpp: answers at once (what is fastest)."
        ),
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="An Ollama server; may be repeated. Else OLLAMA_HOST, else this machine.",
    ),
]
TriageModel = Annotated[
    str | None,
    typer.Option(
        "--triage-model", metavar="NAME", help="The model of stage 1, instead of finops-triage."
    ),
]
ResolverModel = Annotated[
    str | None,
    typer.Option(
        "--resolver-model", metavar="NAME", help="The model of stage 2, instead of finops-resolver."
    ),
]
TriageGguf = Annotated[
    Path | None,
    typer.Option(
        "--triage-gguf",
        envvar="FINOPS_TRIAGE_GGUF",
        metavar="FILE",
        help="The model file of stage 1 for llama.cpp.",
    ),
]
ResolverGguf = Annotated[
    Path | None,
    typer.Option(
        "--resolver-gguf",
        envvar="FINOPS_RESOLVER_GGUF",
        metavar="FILE",
        help="The model file of stage 2 for llama.cpp.",
    ),
]
Guard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        help=(
            "Mask personal data in free text. require: no such text passes without the guard"
            " (default with models); on: without the guard it is withheld; off (default with the"
            " engine)."
        ),
    ),
]
Violation = Annotated[
    OnViolation,
    typer.Option(
        "--on-violation",
        help="What to do with an invalid answer; see `finops kb show model.violation_policy`.",
    ),
]
KeepRaw = Annotated[
    bool,
    typer.Option("--keep-raw", help="Keep what the models said, word for word, in every line."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0.1,
        max=86_400,
        metavar="SECONDS",
        help="Time limit for one answer of a model (default: by stage, kb entry model.timeouts).",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run where its output ends.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start over where an interrupted run left its output.")
]
Timing = Annotated[
    bool,
    typer.Option(
        "--timing/--no-timing", help="Measure latency_ms, or write null: equal runs, equal bytes."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no closing summary on stderr.")
]
StatsJson = Annotated[
    Path | None,
    typer.Option(
        "--stats-json",
        metavar="FILE",
        help="Where to write speed, latencies, errors, predictions and health of the run.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def path_or_standard(text: str | None) -> Path | None:
    """A path, or None for standard input or output."""
    return None if text is None or text == "-" else Path(text)


def is_typed(context: typer.Context, name: str) -> bool:
    """Return true when the option is in the command itself, not in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def kb_dir_of(context: typer.Context) -> Path:
    """The knowledge base that this call uses: `finops --kb DIR`, else the one that ships."""
    from finops_cli.kb.load import bundled_kb_dir

    chosen: Path | None = context.obj
    return chosen if chosen is not None else bundled_kb_dir()
