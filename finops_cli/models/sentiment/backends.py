"""Select the sentiment backend, from a table with one row per backend.

A new backend is one more row of SENTIMENT_BACKENDS; its options are fields of SentimentRequest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from finops_cli.errors import FinopsError, MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backends import AUTO, NotApplicable, open_if_answering
from finops_cli.models.sentiment.classifier import Classifier
from finops_cli.models.sentiment.request import SentimentRequest


class SelectedClassifier(NamedTuple):
    """An open backend."""

    classifier: Classifier
    why: str
    """The reason for the selection, for people."""
    notices: tuple[str, ...] = ()
    describe_servers: Callable[[], str] = str
    """Says what the servers cannot do, once they have answered; empty if nothing is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentBackendSpec:
    """One row of the table."""

    name: str
    summary: str
    """One line for `--help`."""
    open: Callable[[SentimentRequest, KnowledgeBase], SelectedClassifier]
    options: dict[str, str]
    """Options of this backend only: from the field of SentimentRequest to the option."""
    find: Callable[[SentimentRequest, KnowledgeBase], SelectedClassifier | NotApplicable] | None = (
        None
    )
    """Try to open the backend for `auto`, in the order of the table; None: `auto` never does."""


def sentiment_backend_names() -> list[str]:
    """List the values that `--backend` of `finops sentiment` accepts."""
    return [AUTO, *SENTIMENT_BACKENDS]


def select_classifier(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    """Open the backend of `request`.

    Raises UsageError for an option of another backend, and what the backend itself raises.
    """
    if request.backend == AUTO:
        return _select_best(request, kb)
    spec = SENTIMENT_BACKENDS.get(request.backend)
    if spec is None:
        accepted = ", ".join(sentiment_backend_names())
        raise UsageError(
            f"--backend {request.backend} is not a sentiment backend", f"use one of {accepted}"
        )
    _refuse_foreign_options(spec, request)
    return spec.open(request, kb)


def _select_best(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    reasons: list[str] = []
    for spec in SENTIMENT_BACKENDS.values():
        found = spec.find(request, kb) if spec.find is not None else NotApplicable()
        why = found.why if isinstance(found, SelectedClassifier) else found.reason
        if why:
            reasons.append(why)
        if isinstance(found, SelectedClassifier):
            return found._replace(why=f"{AUTO}: {'; '.join(reasons)}")
    raise UsageError(f"--backend {AUTO}: {'; '.join(reasons)}")


def _refuse_foreign_options(spec: SentimentBackendSpec, request: SentimentRequest) -> None:
    names = {field.name for field in fields(request)}
    for other in SENTIMENT_BACKENDS.values():
        for field, option in other.options.items():
            is_ours = field in spec.options or field not in names
            from_environment = field == "gguf" and request.gguf_is_from_environment
            if not is_ours and not from_environment and getattr(request, field):
                own = ", ".join(spec.options.values()) or "no such option"
                raise UsageError(
                    f"{option}: only for --backend {other.name}",
                    f"--backend {spec.name} takes {own}",
                )


def _open_ollama(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    from finops_cli.models.sentiment.ollama import open_classifier

    classifier, notices = open_classifier(request, kb)
    return SelectedClassifier(classifier, "as asked", notices)


def _find_ollama(
    request: SentimentRequest, kb: KnowledgeBase
) -> SelectedClassifier | NotApplicable:
    """Open Ollama if it answers and has the model."""
    found = open_if_answering(request.hosts, kb, lambda: _open_ollama(request, kb))
    if isinstance(found, NotApplicable):
        return found
    return found.opened._replace(why=f"Ollama answers at {found.servers} and has the model")


def _open_openai(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    from finops_cli.models.sentiment.openai import open_classifier

    classifier, notices, describe_servers = open_classifier(request, kb)
    return SelectedClassifier(classifier, "as asked", notices, describe_servers)


def _find_openai(request: SentimentRequest, kb: KnowledgeBase) -> NotApplicable:
    """Refuse options that nothing else reads: a server of this kind is asked only by name."""
    for field in ("api_key_file", "api"):
        if getattr(request, field):
            option = SENTIMENT_BACKENDS["openai"].options[field]
            raise UsageError(f"{option}: only for --backend openai", "add --backend openai")
    return NotApplicable()


def _open_llama_cpp(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    from finops_cli.models.sentiment.llama_cpp import open_classifier

    classifier, notices = open_classifier(request, kb)
    return SelectedClassifier(classifier, "as asked", notices)


def _find_llama_cpp(
    request: SentimentRequest, kb: KnowledgeBase
) -> SelectedClassifier | NotApplicable:
    """Open and load the named model file. A file that the call itself names must work."""
    if request.gguf is None:
        return NotApplicable()
    try:
        selected = _open_llama_cpp(request, kb)
        selected.classifier.prepare("sentiment")
    except (UsageError, MissingPiece, OSError) as error:
        if not request.gguf_is_from_environment:
            raise
        return NotApplicable(error.one_line() if isinstance(error, FinopsError) else str(error))
    return selected._replace(why="a model file is named")


def _open_transformers(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    from finops_cli.models.sentiment.transformers import open_classifier

    classifier, notices = open_classifier(request, kb)
    return SelectedClassifier(classifier, "as asked", notices)


def _find_transformers(
    request: SentimentRequest, kb: KnowledgeBase
) -> SelectedClassifier | NotApplicable:
    """Open and load the named folder. It must work, because only the call can name it."""
    if request.folder is None and request.adapter is None:
        return NotApplicable()
    selected = _open_transformers(request, kb)
    selected.classifier.prepare("sentiment")
    return selected._replace(why="a folder of a model is named")


def _open_baseline(request: SentimentRequest, kb: KnowledgeBase) -> SelectedClassifier:
    from finops_cli.models.sentiment.baseline import BaselineClassifier

    classifier = BaselineClassifier(request.baseline)
    ships = "the baseline answers, a small text classifier that ships with finops"
    return SelectedClassifier(classifier, ships if request.baseline is None else "as asked")


SENTIMENT_BACKENDS: dict[str, SentimentBackendSpec] = {
    spec.name: spec
    for spec in (
        SentimentBackendSpec(
            name="ollama",
            summary="a model on Ollama servers",
            open=_open_ollama,
            options={"hosts": "--host", "model": "--sentiment-model"},
            find=_find_ollama,
        ),
        SentimentBackendSpec(
            name="openai",
            summary="a model on vLLM, SGLang, llama-server ...",
            open=_open_openai,
            options={
                "hosts": "--host",
                "model": "--sentiment-model",
                "api_key_file": "--api-key-file",
                "api": "--model-api",
            },
            find=_find_openai,
        ),
        SentimentBackendSpec(
            name="llama-cpp",
            summary="a model file on this machine",
            open=_open_llama_cpp,
            options={"gguf": "--sentiment-gguf"},
            find=_find_llama_cpp,
        ),
        SentimentBackendSpec(
            name="transformers",
            summary="a folder of a model and its adapter",
            open=_open_transformers,
            options={
                "folder": "--sentiment-dir",
                "adapter": "--sentiment-adapter",
                "load_in_4bit": "--load-in-4bit",
            },
            find=_find_transformers,
        ),
        SentimentBackendSpec(
            name="baseline",
            summary="the text classifier that ships",
            open=_open_baseline,
            options={"baseline": "--baseline"},
            find=_open_baseline,
        ),
    )
}
