"""Which backend answers, and why."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.domain.vocabulary import BackendName
from finops_cli.errors import MissingPiece
from finops_cli.kb.book import Book
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend


class Chosen(NamedTuple):
    backend: Backend
    why: str


def choose(name: BackendName, book: Book) -> Chosen:
    """The backend of that name. Raises MissingPiece for one that this version does not have."""
    if name == "engine":
        return Chosen(Engine(book), "as asked")
    if name == "auto":
        return Chosen(Engine(book), "auto: the only one of this version")
    raise MissingPiece(f"--backend {name}: this version of finops has no such backend yet; use --backend engine")
