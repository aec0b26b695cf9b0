"""What becomes of the text that a person wrote, before anything is asked about its record (decision 0012, kb: `guard.*`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.domain.vocabulary import GuardMode
from finops_cli.errors import MissingPiece
from finops_cli.guard.records import Mask, guarded_case, guarded_fail, has_free_text
from finops_cli.kb.book import Book
from finops_cli.pipeline.blotter import lines_of
from finops_cli.pipeline.intake import Taken, decode, take_case, take_fail
from finops_cli.pipeline.places import reading

if TYPE_CHECKING:
    from finops_cli.guard.guard import Guard

Masks = tuple[str, ...]
WITHHELD = "WITHHELD"
"""Stands for a text that nobody could read first, as `[WITHHELD]`, and among what was masked."""


_HEAD_BYTES = 4096
"""Of a line that is not JSON so much is read: far more than is shown of it."""


class Quoted(NamedTuple):
    """What may be said of a line that is no input; its faults quote it."""

    name: str | None
    problems: list[Problem]
    masks: Masks


Take = Callable[[Any], Taken[Any]]
"""From a decoded line to an input, or to its problems."""


class Screen(ABC):
    """Reads a record before anybody is asked about it. `way` is what a note of a run says."""

    way: ClassVar[str]

    @abstractmethod
    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        """The record as it may be shown, and what was masked in it; None where no guard read it."""

    @abstractmethod
    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        """The same for a resolver input."""

    def name(self, given_id: str) -> str:
        """The name of a record as it may be shown."""
        return given_id

    def quoted(self, given_id: str | None, problems: list[Problem]) -> Quoted:
        """The same for the name and the problems of a line that was rejected."""
        return Quoted(given_id, problems, ())

    def faults(self, line: bytes, problems: list[Problem], take: Take) -> tuple[list[Problem], Masks]:
        """The problems of `line` as they may be shown, each value read whole before it is cut short."""
        return problems, ()


class Masking(Screen):
    """The guard masks what it finds."""

    way = "masked"

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks]:
        return guarded_fail(self._guard, fail)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks]:
        return guarded_case(self._guard, case)

    def name(self, given_id: str) -> str:
        return self._guard.mask_reference(given_id).text

    def quoted(self, given_id: str | None, problems: list[Problem]) -> Quoted:
        masking = Mask(self._guard)
        name = masking.reference(given_id)
        shown = [
            replace(each, path=masking.some(each.path), value=masking.some(each.value), message=masking.some(each.message))
            for each in problems
        ]
        return Quoted(name, shown, masking.kinds)

    def faults(self, line: bytes, problems: list[Problem], take: Take) -> tuple[list[Problem], Masks]:
        masking = Mask(self._guard)
        given = decode(line)
        if not isinstance(given, dict):
            head = masking.some(line[:_HEAD_BYTES].decode("utf-8", "replace"))
            return [replace(each, value=head[: limits.SHOWN_CHARS].strip()) for each in problems], masking.kinds
        faulty = {each.path.split("/")[1] for each in problems if each.path} | {"text"}
        read = {masking.some(name): masking.anything(value, name) if name in faulty else value for name, value in given.items()}
        return (take(read).problems or problems) if masking.found else problems, masking.kinds


class Withholding(Screen):
    """Without a guard no free text goes anywhere: a placeholder stands for all of it."""

    way = "withheld"

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        if not has_free_text(fail):
            return fail, None
        notes, dk_reason = (f"[{WITHHELD}]" if text else text for text in (fail.notes, fail.dk_reason))
        return replace(fail, notes=notes, dk_reason=dk_reason), (WITHHELD,)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        if not has_free_text(case):
            return case, None
        triage = replace(case.triage, reason=f"[{WITHHELD}]")
        return replace(case, triage=triage), (WITHHELD,)


class Refusing(Screen):
    """Without a guard no record with free text passes: it ends the run."""

    way = "required"

    def fail(self, fail: FailRecord) -> tuple[FailRecord, None]:
        if has_free_text(fail):
            raise MissingPiece(_refusal(f"record {fail.fail_id}" if fail.fail_id else "a record"))
        return fail, None

    def case(self, case: ResolverInput) -> tuple[ResolverInput, None]:
        if has_free_text(case):
            raise MissingPiece(_refusal(f"resolver input {case.fail_id}" if case.fail_id else "a resolver input"))
        return case, None


def _refusal(what: str) -> str:
    return (
        f"{what} has free text, and no guard is installed to read it before a model does: pip install 'finops[guard]'; "
        "--guard on withholds such text instead, --backend engine asks no model"
    )


def screen_for(mode: GuardMode | None, asks_models: bool, book: Book) -> Screen | None:
    """The screen that `mode` means; None where text goes as it is. Not said: required with models, off with the engine."""
    wanted = mode or ("require" if asks_models else "off")
    if wanted == "off":
        return None
    from finops_cli.guard.guard import installed, open_guard  # only now: the engine's start-up does not wait for its tables

    if installed():
        return Masking(open_guard(book.guard))
    return Withholding() if wanted == "on" else Refusing()


def refuse_free_text(source: Path | None, resolves: bool, book: Book) -> None:
    """Raises MissingPiece for the first record of a file that `Refusing` would not let pass, so that a run of a file sends all or nothing.

    A pipe cannot be read twice: its run ends at that record.
    """
    if source is None or not source.is_file():
        return
    with reading(source) as file:
        for number, (line, _) in enumerate(lines_of(file), start=1):
            taken = take_case(line, book).value if resolves else take_fail(line).value
            if taken is not None and has_free_text(taken):
                raise MissingPiece(_refusal(f"line {number}: {taken.fail_id or 'the record'}"))
