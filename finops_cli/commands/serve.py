"""`finops serve`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

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
    JobOptions,
    Key,
    ModelHosts,
    Port,
    ServeGuard,
    Store,
    Tokens,
    UnixSocket,
    WhenDownOption,
)

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
    jobs: JobOptions,
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
        keep_days=jobs.keep_days,
        ray=jobs.ray,
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
