"""Starts the service of `finops serve`: its backend, its tokens, its data, its socket."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.alarm_options import AlarmOptions, read_drift_baseline
from finops_cli.commands.options import kb_dir_of
from finops_cli.commands.run_options import ModelOptions, model_request
from finops_cli.errors import MissingPiece

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.sentiment.classifier import Classifier
    from finops_cli.monitoring.hooks.alarms import Dispatch
    from finops_cli.monitoring.live_drift import Baseline
    from finops_cli.service.auth.access import TokenSource
    from finops_cli.service.batch.commands import ServerSettings
    from finops_cli.service.config import ServeConfig
    from finops_cli.service.records.answering import Answering
    from finops_cli.service.store.database import Database

_MODULES = ("fastapi", "uvicorn", "httptools", "prometheus_client", "jinja2")


def require_packages() -> None:
    """Raise MissingPiece where the packages of the service are not installed."""
    from importlib.util import find_spec

    from finops_cli import extras

    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise MissingPiece(f"finops serve needs {', '.join(missing)}", extras.cure("serve"))


@contextmanager
def _without_collections() -> Iterator[None]:
    """Look for no garbage while the service starts: what is loaded stays, and to look for garbage
    in it costs a tenth of the start. `show_ready` ends it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_without_collections()
def run_service(
    context: typer.Context,
    models: ModelOptions,
    config: ServeConfig,
    backend: str,
    alarms: AlarmOptions,
) -> None:
    """Open everything, and serve until a signal ends it."""
    from finops_cli.service.auth.stored_tokens import StoredTokens
    from finops_cli.service.auth.tokens import utc_now
    from finops_cli.service.server import listen
    from finops_cli.service.store.opening import open_database

    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    known, token = _open_tokens(config)
    answering = _open_answering(context, models, config, backend)
    if config.ray is not None:
        from finops_cli.cluster.connect import refuse_unreachable

        refuse_unreachable(config.ray, answering.kb)
    baseline = None if alarms.drift_baseline is None else read_drift_baseline(alarms.drift_baseline)
    with ExitStack() as stack:
        address = stack.enter_context(listen(config))
        if config.socket is None:
            config = replace(config, port=address.getsockname()[1])
        database = stack.enter_context(closing(open_database(config.data, config.store)))
        config = replace(config, rules=_name_rules(config, answering))
        if database.is_shared:
            config = stack.enter_context(_own_folder(config))
            _refuse_strangers(database, config, answering.kb.serve.times["beat"])
        source = known or StoredTokens(database, utc_now)
        _keep_rules(config, answering)
        opened = Opened(
            answering=answering,
            source=source,
            database=database,
            address=address,
            jobs=_job_settings(models, config, backend, answering),
            dispatch=_open_dispatch(alarms, config, answering),
            baseline=baseline,
            token=token,
        )
        _serve(config, opened)


@contextmanager
def _own_folder(config: ServeConfig) -> Iterator[ServeConfig]:
    """Make and lock the folder of a replica. Raises ResumeRefused where another uses the name."""
    from finops_cli.files.safe_io import locked_folder

    own = config.data / "replicas" / config.replica
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_folder(own):
        yield replace(config, own=own)


def _refuse_strangers(database: Database, config: ServeConfig, beat: float) -> None:
    from finops_cli.service.replicas.membership import refuse_other_folder, refuse_other_rules

    refuse_other_folder(database, config.data, beat)
    refuse_other_rules(database, config.rules, beat)


def _keep_rules(config: ServeConfig, answering: Answering) -> None:
    """Keep the rules of this start, which judge its lines after later rules came.

    Raises KnowledgeError where their copy was changed.
    """
    from finops_cli.kb.store import save_rules
    from finops_cli.service.auth.tokens import utc_now
    from finops_cli.version import __version__

    save_rules(answering.kb_dir, config.rules_folder, __version__, utc_now())


def _name_rules(config: ServeConfig, answering: Answering) -> str:
    """Say what the answers of the service depend on: all replicas must say the same."""
    from finops_cli.version import __version__

    return (
        f"finops {__version__}, rules {answering.kb.version}, guard {answering.guard},"
        f" backend {answering.backend.origin.name}, texts by {config.sentiment_backend},"
        f" {'four' if config.four_eyes else 'two'} eyes"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The open resources of a service."""

    answering: Answering
    source: TokenSource
    database: Database
    address: socket.socket
    """Where the service listens."""
    jobs: ServerSettings
    dispatch: Dispatch | None
    baseline: Baseline | None
    """Answers that later ones are compared with; None: those that are stored, if any."""
    token: str | None
    """The token of this start; None with a file or a database of tokens."""


def _open_dispatch(
    alarms: AlarmOptions, config: ServeConfig, answering: Answering
) -> Dispatch | None:
    """Open the hooks; what they were not told before the last stop is sent at once."""
    if alarms.hooks is None:
        return None
    from finops_cli.monitoring.hooks.alarms import Dispatch
    from finops_cli.monitoring.hooks.hook_file import read_hooks
    from finops_cli.monitoring.hooks.outbox import Outbox
    from finops_cli.service.alarms.alarms import OUTBOX_FILE

    outbox = Outbox(config.own_folder / OUTBOX_FILE, continues=True)
    return Dispatch(read_hooks(alarms.hooks), outbox, answering.kb.monitoring.hooks)


def _serve(config: ServeConfig, given: Opened) -> None:
    from finops_cli.service.app import build_service
    from finops_cli.service.server import SecondInterrupt, serve

    log = sys.stderr if config.has_access_log else None
    service = build_service(
        config,
        given.answering,
        given.source,
        given.database,
        jobs=given.jobs,
        dispatch=given.dispatch,
        log=log,
    )
    if given.baseline is not None:
        service.parts.alarms.set_baseline(given.baseline)
    answering = given.answering
    service.audit.note("start", {"kb": answering.kb.version, "guard": answering.guard})
    try:
        serve(service, config, given.address, lambda: show_ready(config, given.token))
    except SecondInterrupt as error:
        raise KeyboardInterrupt from error
    finally:
        service.audit.note("stop", {})


def _open_answering(
    context: typer.Context, models: ModelOptions, config: ServeConfig, backend: str
) -> Answering:
    """Open the backend and the guard. Raises MissingPiece where the guard is not installed."""
    from finops_cli.kb.load import load_kb
    from finops_cli.models.backends import select_backend
    from finops_cli.service.records.answering import Answering
    from finops_cli.service.records.when_down import EngineWhenDown

    if config.guard == "require":
        _require_guard()
    kb_dir = kb_dir_of(context)
    kb = load_kb(kb_dir)
    request = replace(model_request(models), backend=backend, waits=False)
    if backend == "engine" and config.asks_server:
        request = replace(request, hosts=())  # they are those of the texts alone
    selected = select_backend(request, kb)
    for text in selected.notices:
        typer.echo(text, err=True)
    answers = selected.backend
    if answers.origin.is_model and config.when_down == "engine":
        answers = EngineWhenDown(answers, kb)
    classifier = _open_classifier(models, config, kb)
    return Answering(kb, answers, kb_dir, config.guard, config.calendar, classifier)


def _require_guard() -> None:
    """Raise MissingPiece where the guard is not installed."""
    from finops_cli import extras
    from finops_cli.guard.detector import installed

    if not installed():
        raise MissingPiece(
            "the scanner for personal data is not installed, and nothing is stored that it has not"
            " read",
            f"{extras.cure('guard')}; or --guard off, which stores texts unchanged",
        )


def _open_classifier(models: ModelOptions, config: ServeConfig, kb: KnowledgeBase) -> Classifier:
    """Open what labels texts: a model, or the classifier that ships."""
    from finops_cli.models.sentiment.backends import select_classifier
    from finops_cli.models.sentiment.request import SentimentRequest

    of_openai = config.sentiment_backend == "openai"
    request = SentimentRequest(
        backend=config.sentiment_backend,
        hosts=tuple(models.hosts or ()) if config.asks_server else (),
        api_key_file=models.api_key_file if of_openai else None,
        api=models.api if of_openai else None,
        model=config.sentiment_model,
        gguf=config.sentiment_gguf,
        timeout=None if config.sentiment_backend == "baseline" else models.timeout,
    )
    selected = select_classifier(request, kb)
    for text in selected.notices:
        typer.echo(text, err=True)
    return selected.classifier


def _job_settings(
    models: ModelOptions, config: ServeConfig, backend: str, answering: Answering
) -> ServerSettings:
    """Return the options of the service that its jobs take over."""
    from finops_cli.kb.load import bundled_kb_dir
    from finops_cli.service.batch.commands import ServerSettings

    named = {
        "--triage-model": models.triage_model,
        "--resolver-model": models.resolver_model,
        "--triage-gguf": models.triage_gguf,
        "--resolver-gguf": models.resolver_gguf,
        "--api-key-file": None if models.api_key_file is None else models.api_key_file.absolute(),
        "--model-api": models.api,
        "--sentiment-model": config.sentiment_model,
        "--sentiment-gguf": config.sentiment_gguf,
        "--prose": models.prose,
        "--timeout": models.timeout,
    }
    hosts = [("--host", url) for url in models.hosts or ()]
    given = [(flag, str(value)) for flag, value in named.items() if value is not None]
    is_bundled = answering.kb_dir == bundled_kb_dir()
    return ServerSettings(
        kb_dir=None if is_bundled else answering.kb_dir.absolute(),
        rules_folder=config.rules_folder.absolute(),
        calendar=None if config.calendar is None else config.calendar.absolute(),
        guard=config.guard,
        backend=answering.backend.origin.name if backend == "auto" else backend,
        sentiment_backend=config.sentiment_backend,
        models=(*hosts, *given),
        ray=config.ray,
    )


def _open_tokens(config: ServeConfig) -> tuple[TokenSource | None, str | None]:
    """Open the file of tokens, or make one token for this start; none of them with a database."""
    from finops_cli.service.auth.tokens import SingleToken, TokenFile, make_token

    if config.tokens is not None:
        return TokenFile(config.tokens), None
    if config.store is not None:
        return None, None
    token = make_token()
    return SingleToken(token), token


def show_ready(config: ServeConfig, token: str | None) -> None:
    """Print the address of a service that is ready, with the token that was made for its start."""
    gc.enable()
    scheme = "https" if config.tls_certificate else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = str(config.socket) if config.socket else f"{scheme}://{host}:{config.port}"
    typer.echo(f"serve        {address}")
    if token is not None:
        typer.echo(f"token        {token}")
        if config.socket is None:
            typer.echo(f"desk         {address}/?token={token}")
    if config.has_access_log:
        typer.echo("stop         Ctrl-C", err=True)
    sys.stdout.flush()
