"""Options that several commands share, so that each is described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from finops_cli.commands.rules_choice import choice_of
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.enums import GuardMode, OnViolation, ProsePolicy
from finops_cli.errors import UsageError
from finops_cli.models.backends import AUTO, BACKENDS, backend_names

Fails = Annotated[
    str,
    typer.Argument(
        metavar="FAILS",
        help="Fail records: JSON Lines, CSV, .xlsx or Parquet, also packed as .gz, .zst or .zip; -"
        " for stdin.",
    ),
]
Cases = Annotated[
    str,
    typer.Argument(
        metavar="CASES.jsonl",
        help="Cases, one JSON object per line; - for stdin. A case is the input of the resolver: a"
        " fail with its triage, inventory and receipts.",
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
        show_default=False,
        help=(
            "Program that answers (default: auto).\n\n\b\n"
            f"{AUTO}: the first of these that is ready\n{_SUMMARIES}"
        ),
    ),
]
_WORKERS = "\n".join(f"{spec.name}: {spec.workers}" for spec in BACKENDS.values() if spec.workers)
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=256,
        metavar="N",
        help=f"Number of answers in work at a time.\n\n\b\n{_WORKERS}",
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="URL",
        help=(
            "Address of an Ollama server (default: OLLAMA_HOST, else this machine), or of a"
            " server of --backend openai. Repeat it for several servers."
        ),
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        help="File with the key for --backend openai, mode 0600 (default: FINOPS_API_KEY).",
    ),
]
ModelApi = Annotated[
    Literal["completions", "chat"] | None,
    typer.Option(
        "--model-api",
        metavar="NAME",
        show_default=False,
        help=(
            "Requests of --backend openai (default: completions).\n\n\b\n"
            "completions: the prompt as it was trained\n"
            "chat:        messages; the template of the\n"
            "             server makes the prompt\n"
        ),
    ),
]
TriageModel = Annotated[
    str | None,
    typer.Option(
        "--triage-model",
        metavar="NAME",
        help="Model of a server for triage (default: finops-triage).",
    ),
]
ResolverModel = Annotated[
    str | None,
    typer.Option(
        "--resolver-model",
        metavar="NAME",
        help="Model of a server for resolution (default: finops-resolver).",
    ),
]
TriageGguf = Annotated[
    Path | None,
    typer.Option(
        "--triage-gguf",
        envvar="FINOPS_TRIAGE_GGUF",
        metavar="FILE",
        help="Model file (GGUF) for triage, with --backend llama-cpp.",
    ),
]
ResolverGguf = Annotated[
    Path | None,
    typer.Option(
        "--resolver-gguf",
        envvar="FINOPS_RESOLVER_GGUF",
        metavar="FILE",
        help="Model file (GGUF) for resolution, with --backend llama-cpp.",
    ),
]
TriageDir = Annotated[
    Path | None,
    typer.Option(
        "--triage-dir",
        metavar="DIR",
        help="Folder of a model for triage, with --backend transformers.",
    ),
]
ResolverDir = Annotated[
    Path | None,
    typer.Option(
        "--resolver-dir",
        metavar="DIR",
        help="Folder of a model for resolution, with --backend transformers.",
    ),
]
TriageAdapter = Annotated[
    Path | None,
    typer.Option(
        "--triage-adapter", metavar="DIR", help="PEFT adapter for the model of --triage-dir."
    ),
]
ResolverAdapter = Annotated[
    Path | None,
    typer.Option(
        "--resolver-adapter", metavar="DIR", help="PEFT adapter for the model of --resolver-dir."
    ),
]
LoadIn4bit = Annotated[
    bool,
    typer.Option(
        "--load-in-4bit",
        help="Quantize the models of --backend transformers to NF4 while loading; needs CUDA.",
    ),
]
Guard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        metavar="POLICY",
        help=(
            "Treatment of personal data in free text.\n\n\b\n"
            "require: redact it; stop if the scanner is\n"
            "         not installed (default with models)\n"
            "on:      redact it; send no free text if the\n"
            "         scanner is not installed\n"
            "off:     send free text unchanged (default\n"
            "         with the engine)\n"
        ),
    ),
]
Violation = Annotated[
    OnViolation,
    typer.Option(
        "--on-violation",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of an answer that violates a rule (default: repair).\n\n\b\n"
            "repair:   replace the wrong numbers\n"
            "retry:    ask the model again\n"
            "fallback: let the engine answer\n"
            "reject:   mark the record as failed\n"
        ),
    ),
]
Prose = Annotated[
    ProsePolicy,
    typer.Option(
        "--prose",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of a model's sentence that contradicts the answer or cannot be judged"
            " (default: strict).\n\n\b\n"
            "strict: replace it by the engine's sentence\n"
            "keep:   keep it, and list the finding\n"
        ),
    ),
]
KeepRaw = Annotated[
    bool,
    typer.Option("--keep-raw", help="Keep each reply of the models unchanged in the output line."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0.1,
        max=86_400,
        metavar="SECONDS",
        help="Time limit for one answer of a model (default: kb entry model.timeouts).",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run where its output ends.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that exists already.")
]
StrictInput = Annotated[
    bool,
    typer.Option(
        "--strict-input",
        help="Reject a record whose facts contradict each other. Without it, the line has warnings"
        " (see finops kb list input).",
    ),
]
MinRecords = Annotated[
    int,
    typer.Option(
        "--min-records",
        min=0,
        metavar="N",
        show_default=False,
        help="End with status 2 if fewer records come; blank lines are not counted (default: 0).",
    ),
]
Timing = Annotated[
    bool,
    typer.Option(
        "--timing/--no-timing",
        help=(
            "Write the time of each answer as latency_ms. With --no-timing it is null, and equal"
            " runs give equal files."
        ),
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
        help="Write speed, latencies, errors and answers of the run to this file.",
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        help="Leave your user name, the machine and the folder out of the note beside the output.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def path_or_standard(text: str | None) -> Path | None:
    """Return a path, or None for standard input or output."""
    if text == "":
        raise UsageError("the name of a file is empty", "give the name of a file, or - for stdin")
    return None if text is None or text == "-" else Path(text)


def refuse_too_few(records: int, min_records: int, output: str | None) -> None:
    """Raise UsageError if fewer records came than --min-records asks for; what came is written."""
    if records < min_records:
        written = "" if output in (None, "-") else f"; what came is in {output}"
        raise UsageError(
            f"{records:,} records came. Expected at least {min_records:,}{written}.",
            "look at where the input comes from, or lower --min-records",
        )


def is_typed(context: typer.Context, name: str) -> bool:
    """Return true when the option is in the command itself, not in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def kb_dir_of(context: typer.Context) -> Path:
    """Return the folder of the rules that this call uses: those that ship, without an option."""
    return choice_of(context).folder
