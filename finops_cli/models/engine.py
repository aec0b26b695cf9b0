"""The reference: the rules themselves, answering as a model would."""

from __future__ import annotations

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.protocol import ModelNames
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage


class Engine:
    """Needs nothing but the package, and is never wrong about its own rules."""

    name = "engine"
    models = ModelNames()
    prompt_sha256: str | None = None
    is_reference = True

    def __init__(self, book: Book) -> None:
        self._book = book

    def triage(self, fail: FailRecord) -> Triage:
        return triage(fail, self._book)

    def resolve(self, case: ResolverInput) -> Resolution:
        return resolve(case, self._book)
