"""What becomes of the text that a person wrote, before anything is asked about its record (decision
0012, kb: `guard.*`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.domain.vocabulary import GuardMode
from finops_cli.errors import MissingPiece
from finops_cli.guard.masks import PLACEHOLDER, WITHHELD, Nobody, Reader
from finops_cli.guard.records import Mask, guarded_case, guarded_fail, has_free_text
from finops_cli.kb.book import Book
from finops_cli.pipeline.blotter import lines_of
from finops_cli.pipeline.faults import Quoted, Take, quoted
from finops_cli.pipeline.intake import take_case, take_fail
from finops_cli.pipeline.places import reading

Masks = tuple[str, ...]


class Screen(ABC):
    """Reads a record before anybody is asked about it. `way` is what a note of a run says."""

    way: ClassVar[str]

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @abstractmethod
    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        """The record as it may be shown, and what was masked in it; None where no guard read it."""

    @abstractmethod
    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        """The same for a resolver input."""

    def name(self, given_id: str) -> str:
        """The name of a record as it may be shown."""
        return self._reader.mask_reference(given_id).text

    def quoted(
        self, line: bytes | None, given_id: str | None, problems: list[Problem], take: Take | None
    ) -> Quoted:
        """What may be said of a line that was rejected: its faults quote it."""
        return quoted(Mask(self._reader), line, given_id, problems, take)


class Masking(Screen):
    """The guard masks what it finds."""

    way = "masked"

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks]:
        return guarded_fail(self._reader, fail)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks]:
        return guarded_case(self._reader, case)


class Withholding(Screen):
    """Without a guard no free text goes anywhere: a placeholder stands for all of it."""

    way = "withheld"

    def __init__(self) -> None:
        super().__init__(Nobody())

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        if not has_free_text(fail):
            return fail, None
        notes, dk_reason = (PLACEHOLDER if text else text for text in (fail.notes, fail.dk_reason))
        return replace(fail, notes=notes, dk_reason=dk_reason), (WITHHELD,)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        if not has_free_text(case):
            return case, None
        return replace(case, triage=replace(case.triage, reason=PLACEHOLDER)), (WITHHELD,)


class Refusing(Screen):
    """Without a guard no record with free text passes: it ends the run.

    `asks_models`: whether anybody would read it.
    """

    way = "required"

    def __init__(self, asks_models: bool) -> None:
        super().__init__(Nobody())
        self._asks_models = asks_models

    def fail(self, fail: FailRecord) -> tuple[FailRecord, None]:
        if has_free_text(fail):
            raise self._refusal(f"record {fail.fail_id}" if fail.fail_id else "a record")
        return fail, None

    def case(self, case: ResolverInput) -> tuple[ResolverInput, None]:
        if has_free_text(case):
            raise self._refusal(
                f"resolver input {case.fail_id}" if case.fail_id else "a resolver input"
            )
        return case, None

    def look_ahead(self, source: Path | None, resolves: bool, book: Book) -> None:
        """Raises MissingPiece for the first record of a file that would not pass, so that a run of
        a file sends all or nothing.

        A pipe cannot be read twice: its run ends at that record.
        """
        if source is None or not source.is_file():
            return
        with reading(source) as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                taken = take_case(line, book).value if resolves else take_fail(line).value
                if taken is not None and has_free_text(taken):
                    raise self._refusal(f"line {number}: {taken.fail_id or 'the record'}")

    def _refusal(self, what: str) -> MissingPiece:
        otherwise = (
            "--backend engine asks no model" if self._asks_models else "--guard off lets it stand"
        )
        return MissingPiece(
            f"{what} has free text, and no guard is installed to read it: pip install"
            f" 'finops[guard]'; --guard on withholds such text instead, {otherwise}"
        )


def screen_for(mode: GuardMode | None, asks_models: bool, book: Book) -> Screen | None:
    """The screen that `mode` means; None where text goes as it is.

    Not said: required with models, off with the engine.
    """
    wanted = mode or ("require" if asks_models else "off")
    if wanted == "off":
        return None
    from finops_cli.guard.guard import (
        installed,
        open_guard,
    )  # only now: the engine's start-up does not wait for its tables

    if installed():
        return Masking(open_guard(book.guard))
    return Withholding() if wanted == "on" else Refusing(asks_models)
