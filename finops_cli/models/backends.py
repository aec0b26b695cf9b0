"""Which backend answers, and why."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.errors import FinopsError, MissingPiece, Unfinished, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend, ModelStage


class SelectedBackend(NamedTuple):
    """`notices` are for people: what was passed over on the way."""

    backend: Backend
    why: str
    notices: tuple[str, ...] = ()


def select_backend(wanted: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    """The backend that is wanted.

    Raises MissingPiece or UsageError for one that cannot answer; `auto` falls back on the engine.
    """
    if wanted.backend == "engine":
        return SelectedBackend(Engine(kb), "as asked")
    if wanted.backend == "ollama":
        return _ollama(wanted, kb)
    if wanted.backend == "llama-cpp":
        return _llama_cpp(wanted, kb)
    return _best(wanted, kb)


def _ollama(wanted: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.ollama.connect import open_ollama
    from finops_cli.models.verified_backend import VerifiedBackend

    model, notices = open_ollama(wanted, kb)
    return SelectedBackend(VerifiedBackend(model, kb, wanted.on_violation), "as asked", notices)


def _llama_cpp(wanted: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    from finops_cli.models.llama_cpp.connect import open_llama_cpp
    from finops_cli.models.verified_backend import VerifiedBackend

    if wanted.backend == "llama-cpp" and (
        wanted.hosts or wanted.triage_model or wanted.resolver_model
    ):
        raise UsageError(
            "--host, --triage-model and --resolver-model are for Ollama; --backend llama-cpp takes"
            " --triage-gguf and --resolver-gguf"
        )
    named = wanted.or_shipped()
    shipped = " and ".join(path.name for path in named.ggufs.values())
    told = (
        (f"no model file is named: the small models that ship with finops answer ({shipped})",)
        if named is not wanted
        else ()
    )
    return SelectedBackend(
        VerifiedBackend(open_llama_cpp(named, kb), kb, wanted.on_violation), "as asked", told
    )


def _best(wanted: BackendRequest, kb: KnowledgeBase) -> SelectedBackend:
    """Ollama where it answers and has the models, else model files that are named, else the
    engine.
    """
    found = _ollama_if_it_answers(wanted, kb)
    if isinstance(found, SelectedBackend):
        return found
    if not wanted.ggufs:
        return SelectedBackend(Engine(kb), f"auto: {found}")
    try:
        chosen = _llama_cpp(wanted, kb)
        _try_to_load(chosen.backend, wanted.stages)
    except (UsageError, MissingPiece, OSError) as error:
        if wanted.files_asked_for:
            raise
        reason = error.one_line() if isinstance(error, FinopsError) else str(error)
        return SelectedBackend(Engine(kb), f"auto: {found}; {reason}")
    return chosen._replace(why=f"auto: {found}; model files are named")


def _try_to_load(backend: Backend, stages: tuple[ModelStage, ...]) -> None:
    """All of the models; where one cannot be loaded, none of the others stays in memory."""
    try:
        for stage in stages:
            backend.prepare(stage)
    except BaseException:  # Ctrl-C too
        backend.close()
        raise


def _ollama_if_it_answers(wanted: BackendRequest, kb: KnowledgeBase) -> SelectedBackend | str:
    """Ollama, or why not; a server that is not there costs no more than a look."""
    from finops_cli.models.ollama.hosts import answers, hosts_of

    try:
        urls = hosts_of(wanted.hosts)
        if not any(answers(url, kb.models.timeouts["probe"]) for url in urls):
            return f"no Ollama answers at {', '.join(urls)}"
        chosen = _ollama(wanted, kb)
    except UsageError as error:
        if wanted.hosts:
            # named by this call; what the environment names is no reason to do
            # without an answer
            raise
        return error.one_line()
    except (MissingPiece, Unfinished) as error:
        return error.one_line()
    return chosen._replace(why=f"auto: Ollama answers at {', '.join(urls)} and has the models")
