"""`finops serve` and `finops token`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.alarm_options import AlarmOptions
from finops_cli.commands.help_examples import (
    CommandWithExamples,
    Example,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.options import BackendOption, Quiet, is_typed
from finops_cli.commands.run_options import ModelOptions, with_shared_options
from finops_cli.commands.sentiment_options import SentimentGguf, SentimentModel
from finops_cli.commands.serve_data import backup, gc, verify_audit
from finops_cli.commands.serve_options import (
    AllowHosts,
    BehindProxy,
    Certificate,
    Data,
    Demo,
    FourEyes,
    Host,
    KeepDays,
    Key,
    ModelHosts,
    Port,
    ServeGuard,
    Store,
    Tokens,
    UnixSocket,
    WhenDownOption,
)
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.service.config import ServeConfig

_PORT = 8765
serve_app = typer.Typer(cls=GroupWithExamples, invoke_without_command=True, rich_markup_mode=None)
for _name, _command in (("backup", backup), ("gc", gc), ("verify-audit", verify_audit)):
    serve_app.command(_name, cls=CommandWithExamples)(_command)


@serve_app.callback()
@show_examples(
    Example("finops serve --demo", needs="a terminal, until Ctrl-C"),
    Example("finops serve --data /srv/finops --tokens tokens.toml", needs="a file of tokens"),
)
@with_shared_options("keep_raw", hosts=ModelHosts, guard=ServeGuard)
def serve(
    context: typer.Context,
    models: ModelOptions,
    alarms: AlarmOptions,
    *,
    host: Host = "127.0.0.1",
    port: Port = _PORT,
    socket: UnixSocket = None,
    data: Data = None,
    store: Store = None,
    tokens: Tokens = None,
    allow_hosts: AllowHosts = None,
    certificate: Certificate = None,
    key: Key = None,
    behind_proxy: BehindProxy = None,
    four_eyes: FourEyes = False,
    keep_days: KeepDays = None,
    demo: Demo = False,
    sentiment_model: SentimentModel = None,
    sentiment_gguf: SentimentGguf = None,
    when_down: WhenDownOption = "refuse",
    backend: BackendOption = "engine",
    quiet: Quiet = False,
) -> None:
    """Answer records over HTTP until Ctrl-C."""
    from finops_cli.service.config import ServeConfig

    if context.invoked_subcommand is not None:
        return
    config = ServeConfig(
        host=host,
        port=0 if demo and not is_typed(context, "port") else port,
        socket=socket,
        data=data or Path("finops-data"),
        store=store,
        tokens=tokens,
        allow_hosts=tuple(allow_hosts or ()),
        tls_certificate=certificate,
        tls_key=key,
        behind_proxy=behind_proxy,
        guard=models.guard or "require",
        four_eyes=four_eyes,
        sentiment_model=sentiment_model,
        sentiment_gguf=sentiment_gguf,
        when_down=when_down,
        keep_days=keep_days,
        has_access_log=not quiet,
    )
    _start(context, models, config, backend, alarms, is_demo=demo)


def _start(
    context: typer.Context,
    models: ModelOptions,
    config: ServeConfig,
    backend: str,
    alarms: AlarmOptions,
    *,
    is_demo: bool,
) -> None:
    from finops_cli.commands.serve_start import require_packages, run_service

    if backend == "openai":
        config = replace(config, sentiment_server="openai")
    with ExitStack() as stack:
        if is_demo:
            config = _open_demo(stack, config, has_data=is_typed(context, "data"))
        config.refuse_open_doors()
        require_packages()
        guarded = replace(models, guard=config.guard)
        run_service(context, guarded, config, backend, alarms)


def _open_demo(stack: ExitStack, config: ServeConfig, has_data: bool) -> ServeConfig:
    """Give the service an example, and a folder that is deleted at its end unless it has one."""
    import tempfile

    from finops_cli.kb.load import bundled_dir

    example = bundled_dir("examples") / "monday.jsonl"
    if has_data:
        return replace(config, demo=example)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="finops-demo-"))
    return replace(config, demo=example, data=Path(folder))


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
