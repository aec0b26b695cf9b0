"""Select the backend that answers, from a table with one row per backend.

A new backend is one more row. `open` builds it. `options` are the command line options that only it
has. `find` lets `auto` select it. `diagnose` is its part of `finops doctor`. Each row imports its
modules only when it is called, so that `finops --help` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError

if TYPE_CHECKING:
    from finops_cli.domain.stage_names import StageName
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.backend_request import BackendRequest
    from finops_cli.models.diagnosis import Diagnosis, LiveTest
    from finops_cli.models.protocol import Backend, TextModel

T = TypeVar("T")
AUTO = "auto"
_GGUF = "--{stage}-gguf"


class SelectedBackend(NamedTuple):
    """An open backend."""

    backend: Backend
    why: str
    """The reason for the selection, for people."""
    notices: tuple[str, ...] = ()
    """Sentences for the user, for example about servers that are not used."""
    describe_sharing: Callable[[], str] = str
    """Says how the models share a processor, once they are loaded, and what their servers cannot
    do; empty if there is nothing to say.
    """


class NotApplicable(NamedTuple):
    """The reason why `auto` does not use a backend."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """One row of the table."""

    name: str
    summary: str
    """One line for `--help`."""
    open: Callable[[BackendRequest, KnowledgeBase], SelectedBackend]
    """Open the backend. Raises MissingPiece or UsageError if it cannot answer."""
    options: dict[str, str]
    """Options of this backend only: from the field of BackendRequest to the name on the command
    line. {stage} in a name is replaced by each stage that a run asks.
    """
    workers: str = ""
    """The meaning of `--workers` for this backend, for `--help`; empty: it takes no such number."""
    find: Callable[[BackendRequest, KnowledgeBase], SelectedBackend | NotApplicable] | None = None
    """Try to open the backend for `auto`, in the order of the table; None: `auto` never selects it.
    """
    diagnose: (
        Callable[[BackendRequest, KnowledgeBase, LiveTest | None], Iterator[Diagnosis]] | None
    ) = None
    """Diagnose the backend for `finops doctor`. Without a live test no model is loaded."""


def backend_names() -> list[str]:
    """List the values that `--backend` accepts."""
    return [AUTO, *BACKENDS]


def select_backend(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    """Open the backend of `request`.

    Raises UsageError for an option of another backend, and everything that `BackendSpec.open`
    raises.
    """
    if request.backend == AUTO:
        return _select_best(request, kb)
    spec = BACKENDS.get(request.backend)
    if spec is None:
        accepted = ", ".join(backend_names())
        raise UsageError(f"--backend {request.backend} is not a backend", f"use one of {accepted}")
    _refuse_foreign_options(spec, request)
    return spec.open(request, kb)


def _select_best(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    """Select the first backend of the table that can answer, and say why the others cannot."""
    reasons: list[str] = []
    for spec in BACKENDS.values():
        found = spec.find(request, kb) if spec.find is not None else NotApplicable()
        why = found.why if isinstance(found, SelectedBackend) else found.reason
        if why:
            reasons.append(why)
        if isinstance(found, SelectedBackend):
            return found._replace(why=f"{AUTO}: {'; '.join(reasons)}")
    raise UsageError(f"--backend {AUTO}: {'; '.join(reasons)}")


def _refuse_foreign_options(spec: BackendSpec, request: BackendRequest) -> None:
    """Raise UsageError for options that only another backend has.

    Options from the environment are ignored.
    """
    for other in BACKENDS.values():
        foreign = {
            field: names
            for field, option in other.options.items()
            if field not in spec.options and (names := request.given_options(field, option))
        }
        if foreign:
            given = [name for names in foreign.values() for name in names]
            able = [
                each.name for each in BACKENDS.values() if foreign.keys() <= each.options.keys()
            ]
            own = [
                name
                for option in spec.options.values()
                for name in dict.fromkeys(option.format(stage=stage) for stage in ANSWER_FIELDS)
            ]
            accepted = _join(own) if own else "no such option"
            raise UsageError(
                f"{_join(given)}: only for --backend {' or '.join(able)}",
                f"--backend {spec.name} takes {accepted}",
            )


def _join(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _open_ollama(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.ollama.connect import open_ollama

    model, notices = open_ollama(request, kb)
    backend = _verified(model, request, kb)
    return SelectedBackend(backend, "as asked", notices, model.describe_sharing)


def _find_ollama(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend | NotApplicable:
    found = open_if_answering(request.hosts, kb, lambda: _open_ollama(request, kb))
    if isinstance(found, NotApplicable):
        return found
    return found.opened._replace(why=f"Ollama answers at {found.servers} and has the models")


class AnsweringOllama(NamedTuple, Generic[T]):
    """A selection that was opened, and the servers that answer."""

    opened: T
    servers: str


def open_if_answering(
    hosts: Sequence[str], kb: KnowledgeBase, open_servers: Callable[[], T]
) -> AnsweringOllama[T] | NotApplicable:
    """Open Ollama if it answers. Without a server, only the attempt to connect takes time.

    Hosts that the call names must work. Hosts from the environment need not.
    """
    from finops_cli.models.servers.hosts import is_reachable, judge_address, resolve_hosts

    try:
        urls = resolve_hosts(hosts)
        for url in urls:
            judge_address(url, kb.models.external_servers)
        if not any(is_reachable(url, kb.models.timeouts["probe"]) for url in urls):
            return NotApplicable(f"no Ollama answers at {', '.join(urls)}")
        opened = open_servers()
    except UsageError as error:
        if hosts:
            raise
        return NotApplicable(error.one_line())
    except (MissingPiece, Unfinished) as error:
        return NotApplicable(error.one_line())
    return AnsweringOllama(opened, ", ".join(urls))


def _diagnose_ollama(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    from finops_cli.models.ollama.diagnose import diagnose_servers

    return diagnose_servers(request, kb, live_test)


def _open_openai(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.openai.connect import open_openai

    model, notices = open_openai(request, kb)
    backend = _verified(model, request, kb)
    return SelectedBackend(backend, "as asked", notices, model.describe_sharing)


def _find_openai(request: BackendRequest, kb: KnowledgeBase) -> NotApplicable:
    """Refuse options that nothing else reads: a server of this kind is asked only by name."""
    options = BACKENDS["openai"].options
    for field in ("api_key_file", "api"):
        if given := request.given_options(field, options[field]):
            raise UsageError(f"{given[0]}: only for --backend openai", "add --backend openai")
    return NotApplicable()


def _diagnose_openai(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    from finops_cli.models.openai.diagnose import diagnose_servers

    return diagnose_servers(request, kb, live_test)


def _open_llama_cpp(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.files.model_manifest import refuse_changed_file
    from finops_cli.models.llama_cpp.connect import open_llama_cpp

    named = request.or_bundled()
    notices: tuple[str, ...] = ()
    if named is not request:
        files = " and ".join(path.name for path in named.files.values())
        notices = (
            f"no model file is named: the small models that ship with finops answer ({files})",
        )
    model = open_llama_cpp(named, kb)
    digests = model.origin.digests or {}
    unread: list[str] = []
    for stage, path in named.files.items():
        refuse_changed_file(path, str(digests[stage]).removeprefix("sha256:"), unread.append)
    backend = _verified(model, request, kb)
    return SelectedBackend(backend, "as asked", (*notices, *unread), model.describe_sharing)


def _find_llama_cpp(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend | NotApplicable:
    """Open and load the named model files.

    Files that the call names must work. Files from the environment need not.
    """
    if not request.files:
        return NotApplicable()
    try:
        selected = _open_llama_cpp(request, kb)
        _load(selected.backend, request.stages)
    except (UsageError, MissingPiece, OSError) as error:
        if request.given_options("ggufs", _GGUF):
            raise
        reason = error.one_line() if isinstance(error, FinopsError) else str(error)
        return NotApplicable(reason)
    return selected._replace(why="model files are named")


def _load(backend: Backend, stages: tuple[StageName, ...]) -> None:
    """Load every model. If one cannot be loaded, unload the others."""
    try:
        for stage in stages:
            backend.prepare(stage)
    except BaseException:  # Ctrl-C too
        backend.close()
        raise


def _diagnose_llama_cpp(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    from finops_cli.models.llama_cpp.diagnose import diagnose_model_files

    return diagnose_model_files(request, kb, live_test)


def _open_transformers(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.transformers.connect import open_transformers

    return SelectedBackend(_verified(open_transformers(request, kb), request, kb), "as asked")


def _find_transformers(
    request: BackendRequest, kb: KnowledgeBase
) -> SelectedBackend | NotApplicable:
    """Open and load the named folders. They must work, because only the call can name them."""
    if not request.folders and not request.adapters:
        return NotApplicable()
    selected = _open_transformers(request, kb)
    _load(selected.backend, request.stages)
    return selected._replace(why="folders of models are named")


def _diagnose_transformers(
    request: BackendRequest, kb: KnowledgeBase, live_test: LiveTest | None
) -> Iterator[Diagnosis]:
    from finops_cli.models.transformers.diagnose import diagnose_folders

    return diagnose_folders(request, kb, live_test)


def _open_engine(_: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.engine import Engine

    return SelectedBackend(Engine(kb), "as asked")


def _find_engine(request: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    return _open_engine(request, kb)._replace(why="")


def _verified(model: TextModel, request: BackendRequest, kb: KnowledgeBase) -> Backend:
    from finops_cli.models.verified_backend import VerifiedBackend

    return VerifiedBackend(model, kb, request.on_violation, request.prose)


BACKENDS: dict[str, BackendSpec] = {
    spec.name: spec
    for spec in (
        BackendSpec(
            name="ollama",
            summary="models on Ollama servers",
            open=_open_ollama,
            workers="requests to each server (default: 1)",
            options={"hosts": "--host", "models": "--{stage}-model"},
            find=_find_ollama,
            diagnose=_diagnose_ollama,
        ),
        BackendSpec(
            name="openai",
            summary="models on vLLM, SGLang ...",
            open=_open_openai,
            workers="requests to each (default: by kind)",
            options={
                "hosts": "--host",
                "models": "--{stage}-model",
                "api_key_file": "--api-key-file",
                "api": "--model-api",
            },
            find=_find_openai,
            diagnose=_diagnose_openai,
        ),
        BackendSpec(
            name="llama-cpp",
            summary="model files on this machine",
            open=_open_llama_cpp,
            workers="answers (default: the fastest)",
            options={"ggufs": _GGUF},
            find=_find_llama_cpp,
            diagnose=_diagnose_llama_cpp,
        ),
        BackendSpec(
            name="transformers",
            summary="folders of models and adapters",
            open=_open_transformers,
            workers="answers in a batch (default: 4)",
            options={
                "folders": "--{stage}-dir",
                "adapters": "--{stage}-adapter",
                "load_in_4bit": "--load-in-4bit",
            },
            find=_find_transformers,
            diagnose=_diagnose_transformers,
        ),
        BackendSpec(
            name="engine",
            summary="the rules themselves, without a model",
            open=_open_engine,
            workers="processes (default: 1)",
            options={},
            find=_find_engine,
        ),
    )
}
