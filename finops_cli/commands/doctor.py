"""`finops doctor`: what is installed, reachable and loadable, with the cure for what is not."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.options import (
    AsJson,
    Hosts,
    ResolverGguf,
    ResolverModel,
    TriageGguf,
    TriageModel,
    kb_dir_of,
)

if TYPE_CHECKING:
    from finops_cli.doctor.diagnosis import Diagnosis

Live = Annotated[
    bool,
    typer.Option(
        "--live/--no-live", help="Load the models that are there and put one record through them."
    ),
]
_WIDTH = 100
_INDENT = " " * 26


def doctor(
    context: typer.Context,
    host: Hosts = None,
    triage_model: TriageModel = None,
    resolver_model: ResolverModel = None,
    triage_gguf: TriageGguf = None,
    resolver_gguf: ResolverGguf = None,
    live: Live = True,
    as_json: AsJson = False,
) -> None:
    """What is installed and reachable, and the cure for what is not."""
    from finops_cli.doctor.installation import installation
    from finops_cli.doctor.llama_cpp import guard, model_files
    from finops_cli.doctor.ollama import servers
    from finops_cli.kb.load import load_kb
    from finops_cli.models.backend_request import BackendRequest
    from finops_cli.pipeline.output import encode_value

    kb_dir = kb_dir_of(context)
    found = installation(kb_dir)
    if not _broken(found):
        wanted = BackendRequest(
            hosts=tuple(host or ()),
            triage_model=triage_model,
            resolver_model=resolver_model,
            triage_gguf=triage_gguf,
            resolver_gguf=resolver_gguf,
        )
        kb = load_kb(kb_dir)
        found += [guard(kb), *servers(wanted, kb, live), *model_files(wanted, kb, live)]
    if as_json:
        typer.echo(encode_value(found))
    else:
        for diagnosis in found:
            _print(diagnosis)
    if _broken(found):
        raise typer.Exit(3)


def _broken(found: list[Diagnosis]) -> bool:
    return any(diagnosis.state == "broken" for diagnosis in found)


def _print(diagnosis: Diagnosis) -> None:
    typer.echo(_wrapped(f"{diagnosis.state:<8} {diagnosis.what:<16} ", diagnosis.detail))
    if diagnosis.cure:
        typer.echo(f"{_INDENT}fix: {diagnosis.cure}")


def _wrapped(label: str, text: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
