"""`finops models`: what ships with finops, and what the servers have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import report_error
from finops_cli.commands.options import ApiKeyFile, AsJson, kb_dir_of

if TYPE_CHECKING:
    from finops_cli.models.listing import ListedModel, ModelSource

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
Protocol = Annotated[
    Literal["ollama", "openai"],
    typer.Option(
        "--backend",
        metavar="NAME",
        show_default=False,
        help=(
            "Protocol of the servers (default: ollama).\n\n\b\n"
            "ollama: Ollama\n"
            "openai: vLLM, SGLang, llama-server ...\n"
        ),
    ),
]
_COLUMNS = ("name", "stage", "arch", "quant", "size", "context", "loaded", "digest")
_WIDTH = 80
_GAP = "  "
_SHORT_DIGEST = 8


@show_examples(
    Example("finops models", needs="an Ollama server"),
    Example("finops models --host http://127.0.0.1:11434 --json", needs="an Ollama server"),
)
def models(
    context: typer.Context,
    host: Hosts = None,
    backend: Protocol = "ollama",
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """List the bundled models and those on servers."""
    from finops_cli.errors import MissingPiece, Unfinished
    from finops_cli.kb.load import load_kb
    from finops_cli.models.llama_cpp.inventory import bundled_models
    from finops_cli.models.ollama.create import default_names
    from finops_cli.models.servers.hosts import judge_address
    from finops_cli.pipeline.output import encode_value

    kb = load_kb(kb_dir_of(context))
    stages = {name: stage for stage, name in default_names(kb).items()}
    shipped = bundled_models()
    servers: list[ModelSource] = [shipped] if shipped else []
    failed: MissingPiece | Unfinished | None = None
    urls, inventory = _open_protocol(backend, host or [], api_key_file)
    for url in urls:
        judge_address(url, kb.models.external_servers)
        try:
            servers.append(inventory(url, stages))
        except (MissingPiece, Unfinished) as error:  # the others are listed all the same
            failed = failed or error
            report_error(error)
    typer.echo(
        encode_value(servers) if as_json else "\n\n".join(map(_table, servers)),
        nl=bool(servers) or as_json,
    )
    if failed:
        raise typer.Exit(failed.exit_code)


def _open_protocol(
    backend: str, given: list[str], api_key_file: Path | None
) -> tuple[tuple[str, ...], Callable[[str, Mapping[str, str]], ModelSource]]:
    """Return the addresses of the servers, and what lists the models of one."""
    from finops_cli.errors import UsageError

    if backend == "openai":
        from finops_cli.models.openai.api import resolve_urls
        from finops_cli.models.openai.api_key import read_api_key
        from finops_cli.models.openai.inventory import inventory as list_served

        key = read_api_key(api_key_file)
        return resolve_urls(tuple(given)), lambda url, stages: list_served(url, stages, key)
    from finops_cli.models.ollama.inventory import inventory
    from finops_cli.models.servers.hosts import resolve_hosts

    if api_key_file is not None:
        raise UsageError("--api-key-file: only for --backend openai", "add --backend openai")
    return resolve_hosts(given), inventory


def _table(server: ModelSource) -> str:
    """A table of at most 80 columns; a name that does not fit has a line of its own."""
    heading = (
        f"{server.host}  {server.program} {server.version or ''}".rstrip()
        if server.host
        else f"finops {server.version}, for --backend llama-cpp"
    )
    if not server.models:
        makes = "; `finops create` makes them" if server.program == "Ollama" else ""
        return f"{heading}\n  no models{makes}"
    rows = [_COLUMNS, *map(_row, server.models)]
    rest = [max(len(row[column]) for row in rows) for column in range(1, len(_COLUMNS))]
    width_left = _WIDTH - sum(rest) - len(_GAP) * len(rest)
    first = max((len(row[0]) for row in rows if len(row[0]) <= width_left), default=0)
    lines = [heading]
    for name, *cells in rows:
        if len(name) > width_left:
            lines.append(name)
            name = ""  # noqa: PLW2901 - its line is written
        columns = (
            f"{cell:<{width}}" for cell, width in zip((name, *cells), (first, *rest), strict=True)
        )
        lines.append(_GAP.join(columns).rstrip())
    return "\n".join(lines)


def _row(model: ListedModel) -> tuple[str, ...]:
    from rich.filesize import decimal

    return (
        model.name,
        model.stage or "-",
        model.architecture or "-",
        model.quantization or "-",
        "-" if model.size_bytes is None else decimal(model.size_bytes),
        str(model.context_length or "-"),
        _loaded(model),
        "-" if model.digest is None else model.digest[:_SHORT_DIGEST],
    )


def _loaded(model: ListedModel) -> str:
    if model.remote_host:
        return "cloud"
    if model.loaded is None:
        return "-"
    if not model.loaded:
        return "no"
    return "yes" if model.gpu_pct is None else f"{model.gpu_pct}% GPU"
