"""Options that several commands share, so that each is described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.enums import GuardMode, OnViolation
from finops_cli.errors import UsageError
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
        metavar="CASES.jsonl",
        help="Cases (resolver inputs), one JSON object per line; - for stdin.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="OUT.jsonl", help="Output file (default: stdout)."),
]


def _check_backend(name: str) -> str:
    if name not in backend_names():
        raise BadChoice(name, backend_names())
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
            "engine: number of processes (default 1). ollama: concurrent requests per server"
            " (default 1). llama-cpp: concurrent answers (default: the fastest number)."
        ),
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="Ollama server; can be repeated (default: OLLAMA_HOST, else this machine).",
    ),
]
TriageModel = Annotated[
    str | None,
    typer.Option(
        "--triage-model", metavar="NAME", help="Ollama model for triage (default: finops-triage)."
    ),
]
ResolverModel = Annotated[
    str | None,
    typer.Option(
        "--resolver-model",
        metavar="NAME",
        help="Ollama model for resolution (default: finops-resolver).",
    ),
]
TriageGguf = Annotated[
    Path | None,
    typer.Option(
        "--triage-gguf",
        envvar="FINOPS_TRIAGE_GGUF",
        metavar="FILE",
        help="GGUF file of the triage model, for llama-cpp.",
    ),
]
ResolverGguf = Annotated[
    Path | None,
    typer.Option(
        "--resolver-gguf",
        envvar="FINOPS_RESOLVER_GGUF",
        metavar="FILE",
        help="GGUF file of the resolver model, for llama-cpp.",
    ),
]
Guard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        help=(
            "Personal data in free text.\n\n\b\n"
            "require: stop if no guard is installed\n"
            "         (default with models)\n"
            "on:      redact; withhold text without a guard\n"
            "off:     send text unchanged (default with engine)"
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
    typer.Option(
        "--keep-raw", help="Keep each reply of the models, unchanged, in the output line."
    ),
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
    bool, typer.Option("--resume", help="Continue an interrupted run at the end of its output.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output of an interrupted run.")
]
Timing = Annotated[
    bool,
    typer.Option(
        "--timing/--no-timing",
        help="Measure latency_ms, or write null, so that equal runs give equal bytes.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no summary on stderr.")
]
StatsJson = Annotated[
    Path | None,
    typer.Option(
        "--stats-json",
        metavar="FILE",
        help="Write speed, latencies, errors, answers and health of the run to this file.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def path_or_standard(text: str | None) -> Path | None:
    """Return a path, or None for standard input or output."""
    if text == "":
        raise UsageError("the name of a file is empty", "give the name of a file, or - for stdin")
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
