"""Which backend answers, and why."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.kb.book import Book
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend
from finops_cli.models.verified import Verified
from finops_cli.models.wanted import Wanted


class Chosen(NamedTuple):
    """`notices` are for people: what was passed over on the way."""

    backend: Backend
    why: str
    notices: tuple[str, ...] = ()


def choose(wanted: Wanted, book: Book) -> Chosen:
    """The backend that is wanted. Raises MissingPiece or UsageError for one that cannot answer; `auto` falls back on the engine."""
    if wanted.backend == "engine":
        return Chosen(Engine(book), "as asked")
    if wanted.backend == "ollama":
        return _ollama(wanted, book)
    if wanted.backend == "auto":
        return _best(wanted, book)
    raise MissingPiece(f"--backend {wanted.backend}: this version of finops has no such backend yet; use --backend engine")


def _ollama(wanted: Wanted, book: Book) -> Chosen:
    from finops_cli.models.ollama.opening import open_ollama

    speaker, notices = open_ollama(wanted, book)
    return Chosen(Verified(speaker, book, wanted.on_violation), "as asked", notices)


def _best(wanted: Wanted, book: Book) -> Chosen:
    """Ollama where it answers and has the models, else the engine; a server that is not there costs no more than a look."""
    from finops_cli.models.ollama.hosts import answers, hosts_of

    try:
        urls = hosts_of(wanted.hosts)
    except UsageError as error:
        if wanted.hosts:
            raise  # named by this call; what the environment names is no reason to do without the engine
        return Chosen(Engine(book), f"auto: {error}")
    if not any(answers(url, book.answering.seconds["probe"]) for url in urls):
        return Chosen(Engine(book), f"auto: no Ollama answers at {', '.join(urls)}")
    try:
        chosen = _ollama(wanted, book)
    except UsageError as error:
        if wanted.hosts:
            raise
        return Chosen(Engine(book), f"auto: {error}")
    except (MissingPiece, Unfinished) as error:
        return Chosen(Engine(book), f"auto: {error}")
    return chosen._replace(why=f"auto: Ollama answers at {', '.join(urls)} and has the models")
