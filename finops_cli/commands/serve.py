"""`finops serve` and `finops token`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.help_examples import (
    CommandWithExamples,
    Example,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.options import BackendOption, Quiet, kb_dir_of
from finops_cli.commands.run_options import ModelOptions, model_request, with_shared_options
from finops_cli.domain.enums import GuardMode
from finops_cli.errors import MissingPiece, UsageError

if TYPE_CHECKING:
    from finops_cli.service.auth.access import TokenSource
    from finops_cli.service.batch.commands import ServerSettings
    from finops_cli.service.config import ServeConfig
    from finops_cli.service.records.answering import Answering
    from finops_cli.service.store.database import Database

_PORT = 8765
_MODULES = ("fastapi", "uvicorn", "httptools", "prometheus_client")
Host = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on (default: 127.0.0.1)."),
]
Port = Annotated[
    int,
    typer.Option(
        "--port", min=0, max=65535, metavar="N", help="Port to listen on; 0 takes a free one."
    ),
]
UnixSocket = Annotated[
    Path | None,
    typer.Option("--uds", metavar="PATH", help="Unix socket to listen on, in place of a port."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the service's data (default: finops-data in this folder).",
    ),
]
Tokens = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        help="File of tokens that `finops token new` makes (default: one token for this start).",
    ),
]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST",
        help="Further value of the header Host, such as desk.example:443. May be repeated.",
    ),
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate for TLS, as PEM.")
]
Key = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Key of the certificate, as PEM.")
]
BehindProxy = Annotated[
    str | None,
    typer.Option(
        "--behind-proxy",
        metavar="ADDRESS",
        help="Address of a reverse proxy that encrypts, and whose X-Forwarded headers are true.",
    ),
]
ServeGuard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        metavar="POLICY",
        help="Treatment of personal data: require (default), on or off, as for `finops run`.",
    ),
]
ModelHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--model-host",
        metavar="URL",
        help="Ollama server, as --host of `finops run`. May be repeated.",
    ),
]


FourEyes = Annotated[
    bool,
    typer.Option(
        "--four-eyes",
        help="Let an override stand only when a second person accepts it (default: at once).",
    ),
]


@show_examples(
    Example("finops serve --port 0", needs="a terminal, until Ctrl-C"),
    Example("finops serve --data /srv/finops --tokens tokens.toml", needs="a file of tokens"),
)
@with_shared_options("keep_raw", hosts=ModelHosts, guard=ServeGuard)
def serve(
    context: typer.Context,
    models: ModelOptions,
    *,
    host: Host = "127.0.0.1",
    port: Port = _PORT,
    socket: UnixSocket = None,
    data: Data = None,
    tokens: Tokens = None,
    allow_hosts: AllowHosts = None,
    certificate: Certificate = None,
    key: Key = None,
    behind_proxy: BehindProxy = None,
    four_eyes: FourEyes = False,
    backend: BackendOption = "engine",
    quiet: Quiet = False,
) -> None:
    """Answer records over HTTP until Ctrl-C."""
    from dataclasses import replace

    from finops_cli.service.config import ServeConfig

    config = ServeConfig(
        host=host,
        port=port,
        socket=socket,
        data=data or Path("finops-data"),
        tokens=tokens,
        allow_hosts=tuple(allow_hosts or ()),
        tls_certificate=certificate,
        tls_key=key,
        behind_proxy=behind_proxy,
        guard=models.guard or "require",
        four_eyes=four_eyes,
        has_access_log=not quiet,
    )
    config.refuse_open_doors()
    _require_packages()
    _run(context, replace(models, guard=config.guard), config, backend)


def _require_packages() -> None:
    """Raise MissingPiece where the packages of the service are not installed."""
    from importlib.util import find_spec

    from finops_cli import extras

    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise MissingPiece(f"finops serve needs {', '.join(missing)}", extras.cure("serve"))


def _run(context: typer.Context, models: ModelOptions, config: ServeConfig, backend: str) -> None:
    from finops_cli.service.store.database import Database

    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    source, token = _open_tokens(config)
    answering = _open_answering(context, models, config, backend)
    database = Database(config.data)
    jobs = _job_settings(models, config, backend, answering)
    try:
        _serve(config, answering, source, database, jobs=jobs, token=token)
    finally:
        database.close()


def _serve(
    config: ServeConfig,
    answering: Answering,
    source: TokenSource,
    database: Database,
    *,
    jobs: ServerSettings,
    token: str | None,
) -> None:
    from dataclasses import replace

    from finops_cli.service.app import build_service
    from finops_cli.service.server import SecondInterrupt, listen, serve

    opened = listen(config)
    if config.socket is None:
        config = replace(config, port=opened.getsockname()[1])
    log = sys.stderr if config.has_access_log else None
    service = build_service(config, answering, source, database, jobs=jobs, log=log)
    service.audit.note("start", {"kb": answering.kb.version, "guard": answering.guard})
    try:
        serve(service, config, opened, lambda: _show_address(config, token))
    except SecondInterrupt as error:
        raise KeyboardInterrupt from error
    finally:
        service.audit.note("stop", {})


def _open_answering(
    context: typer.Context, models: ModelOptions, config: ServeConfig, backend: str
) -> Answering:
    """Open the backend and the guard. Raises MissingPiece where the guard is not installed."""
    from dataclasses import replace

    from finops_cli import extras
    from finops_cli.guard.detector import installed
    from finops_cli.kb.load import load_kb
    from finops_cli.models.backends import select_backend
    from finops_cli.service.records.answering import Answering

    if config.guard == "require" and not installed():
        raise MissingPiece(
            "the scanner for personal data is not installed, and nothing is stored that it has not"
            " read",
            f"{extras.cure('guard')}; or --guard off, which stores texts unchanged",
        )
    kb_dir = kb_dir_of(context)
    kb = load_kb(kb_dir)
    selected = select_backend(replace(model_request(models), backend=backend), kb)
    for text in selected.notices:
        typer.echo(text, err=True)
    return Answering(kb, selected.backend, kb_dir, config.guard, config.calendar)


def _job_settings(
    models: ModelOptions, config: ServeConfig, backend: str, answering: Answering
) -> ServerSettings:
    """Return what the command lines of jobs take from that of the service."""
    from finops_cli.kb.load import bundled_kb_dir
    from finops_cli.service.batch.commands import ServerSettings

    named = {
        "--triage-model": models.triage_model,
        "--resolver-model": models.resolver_model,
        "--triage-gguf": models.triage_gguf,
        "--resolver-gguf": models.resolver_gguf,
        "--prose": models.prose,
        "--timeout": models.timeout,
    }
    hosts = [("--host", url) for url in models.hosts or ()]
    given = [(flag, str(value)) for flag, value in named.items() if value is not None]
    is_bundled = answering.kb_dir == bundled_kb_dir()
    return ServerSettings(
        kb_dir=None if is_bundled else answering.kb_dir.absolute(),
        calendar=None if config.calendar is None else config.calendar.absolute(),
        guard=config.guard,
        backend=answering.backend.origin.name if backend == "auto" else backend,
        sentiment_backend="baseline",
        models=(*hosts, *given),
    )


def _open_tokens(config: ServeConfig) -> tuple[TokenSource, str | None]:
    """Open the file of tokens, or make one token for this start."""
    from finops_cli.service.auth.tokens import SingleToken, TokenFile, make_token

    if config.tokens is not None:
        return TokenFile(config.tokens), None
    token = make_token()
    return SingleToken(token), token


def _show_address(config: ServeConfig, token: str | None) -> None:
    """Print the address once, with the token that was made for this start."""
    scheme = "https" if config.tls_certificate else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = str(config.socket) if config.socket else f"{scheme}://{host}:{config.port}"
    typer.echo(f"serve        {address}")
    if token is not None:
        typer.echo(f"token        {token}")
    if config.has_access_log:
        typer.echo("stop         Ctrl-C", err=True)
    sys.stdout.flush()


app = typer.Typer(cls=GroupWithExamples, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
@show_examples(
    "finops token new --name anna --role analyst -o tokens.toml",
    "finops token new --name nightly --role operator --days 90 -o tokens.toml",
)
def token() -> None:
    """Make tokens for `finops serve`."""


@app.command(cls=CommandWithExamples)
@show_examples(
    "finops token new --name anna --role analyst -o tokens.toml",
    "finops token new --name nightly --role operator --days 90 -o tokens.toml",
)
def new(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Person or program.")],
    role: Annotated[
        Literal["reader", "analyst", "operator", "auditor", "admin"],
        typer.Option(
            "--role",
            metavar="ROLE",
            help="What the token may do:\n\n\b\n"
            "reader:   see answers and rules\n"
            "analyst:  also send records and decide\n"
            "operator: also files, jobs and models\n"
            "auditor:  see, and read the audit log\n"
            "admin:    everything",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="File of tokens; it is extended."),
    ],
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=3650, metavar="N", help="Days until it expires."),
    ] = None,
) -> None:
    """Make a token, print it once, and add its digest to a file."""
    from finops_cli.service.auth.tokens import make_token, read_owners, token_entry, utc_now

    if output.exists() and name in {owner.name for owner in read_owners(output)}:
        raise UsageError(f"--name {name}: {output} has this name already", "choose another name")
    made = make_token()
    entry = token_entry(made, name, role, utc_now(), days)
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(entry)
    typer.echo(made)
