"""What becomes of the text that a person wrote, before anything is asked about its record (decision
0012, kb: `guard.*`).
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from msgspec.structs import replace

from finops_cli import extras
from finops_cli.domain import limits
from finops_cli.domain.enums import GuardMode
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.errors import MissingPiece
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading
from finops_cli.guard.placeholders import PLACEHOLDER, WITHHELD, NoDetector, Reader
from finops_cli.guard.records import Mask, guarded_case, guarded_fail, has_free_text
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import ParseResult, decode

Take = Callable[[Any], ParseResult[Any]]
"""From a decoded line to an input, or to its problems."""
_HEAD_BYTES = 4096
"""Of a line that is not JSON so much is read: far more than is shown of it."""
_ANYWHERE = ("text", "notes", "dk_reason", "origin")
"""Fields that hold free text, faulty or not."""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_QUOTING = ("path", "value", "accepted", "message")

Masks = tuple[str, ...]


class RedactionPolicy(ABC):
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

    def redact_problems(
        self, line: bytes | None, given_id: str | None, problems: list[Problem], take: Take | None
    ) -> RedactedProblems:
        """What may be said of a line that was rejected: its faults quote it."""
        return redact_problems(Mask(self._reader), line, given_id, problems, take)


class MaskText(RedactionPolicy):
    """The guard masks what it finds."""

    way = "masked"

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks]:
        return guarded_fail(self._reader, fail)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks]:
        return guarded_case(self._reader, case)


class WithholdText(RedactionPolicy):
    """Without a guard no free text goes anywhere: a placeholder stands for all of it."""

    way = "withheld"

    def __init__(self) -> None:
        super().__init__(NoDetector())

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        if not has_free_text(fail):
            return fail, None
        notes, dk_reason = (PLACEHOLDER if text else text for text in (fail.notes, fail.dk_reason))
        return replace(fail, notes=notes, dk_reason=dk_reason), (WITHHELD,)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        if not has_free_text(case):
            return case, None
        return replace(case, triage=replace(case.triage, reason=PLACEHOLDER)), (WITHHELD,)


class RequireGuard(RedactionPolicy):
    """Without a guard no record with free text passes: it ends the run.

    `asks_models`: whether anybody would read it.
    """

    way = "required"

    def __init__(self, asks_models: bool) -> None:
        super().__init__(NoDetector())
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

    def look_ahead(
        self,
        source: Path | None,
        parse_line: Callable[[bytes, KnowledgeBase], ParseResult[Any]],
        kb: KnowledgeBase,
    ) -> None:
        """Raises MissingPiece for the first record of a file that would not pass, so that a run of
        a file sends all or nothing.

        A pipe cannot be read twice: its run ends at that record.
        """
        if source is None or not source.is_file():
            return
        with reading(source) as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                record = parse_line(line, kb).value
                if record is not None and has_free_text(record):
                    raise self._refusal(f"line {number}: {record.fail_id or 'the record'}")

    def _refusal(self, what: str) -> MissingPiece:
        otherwise = (
            "--backend engine asks no model" if self._asks_models else "--guard off lets it stand"
        )
        return MissingPiece(
            f"{what} has free text, and no guard is installed to read it",
            f"{extras.cure('guard')}; --guard on withholds such text instead, {otherwise}",
        )


def redaction_policy(
    mode: GuardMode | None, asks_models: bool, kb: KnowledgeBase
) -> RedactionPolicy | None:
    """The screen that `mode` means; None where text goes as it is.

    Not said: required with models, off with the engine.
    """
    wanted = mode or ("require" if asks_models else "off")
    if wanted == "off":
        return None
    from finops_cli.guard.detector import installed, open_guard

    if installed():
        return MaskText(open_guard(kb.guard))
    return WithholdText() if wanted == "on" else RequireGuard(asks_models)


class RedactedProblems(NamedTuple):
    """What may be said of a line that is no input.

    `masks` None: nothing of it was masked, and no guard read it.
    """

    problems: list[Problem]
    masks: tuple[str, ...] | None


def redact_problems(
    mask: Mask, line: bytes | None, given_id: str | None, problems: list[Problem], take: Take | None
) -> RedactedProblems:
    """`line` and `take` None: the problems quote nothing but the name."""
    told = problems if line is None or take is None else _judged_again(mask, line, problems, take)
    mask.reference(given_id)  # what is masked in its name is told too
    if mask.reads:
        told = [
            replace(each, **{part: mask.some(getattr(each, part)) for part in _QUOTING})
            for each in told
        ]
    return RedactedProblems(told, mask.kinds if mask.found or mask.reads else None)


def _judged_again(mask: Mask, line: bytes, problems: list[Problem], take: Take) -> list[Problem]:
    """The problems that the line has once it is masked.

    One that masking cures is told without its value.
    """
    given = decode(line)
    if isinstance(given, Problem):
        head = mask.some(_readable(line[:_HEAD_BYTES])).strip()
        return [replace(each, value=head[: limits.SHOWN_CHARS]) for each in problems]
    masked = _masked(mask, given, problems) if isinstance(given, dict) else mask.anything(given)
    if not mask.found:
        return problems
    again = take(masked).problems
    told = {each.path for each in again}
    return [*again, *(_without_value(mask, each) for each in problems if each.path not in told)]


def _readable(head: bytes) -> str:
    """The text of a line that is not JSON, its escapes undone: a number written with them is a
    number.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(
            head
        )  # a character cut at the end is left out
    except UnicodeDecodeError:
        text = head.decode("cp1252", "replace")  # saved by an old editor
    return (
        _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
        .encode("utf-8", "replace")
        .decode()
    )


def _masked(mask: Mask, given: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """`given` with every value masked that a fault is about, and its key; what is right stays what
    it is.
    """

    def faulty(name: str) -> bool:
        path = f"/{name[: limits.SHOWN_CHARS]}"
        return name in _ANYWHERE or any(
            each.path == path or each.path.startswith(f"{path}/") for each in problems
        )

    return {
        mask.some(name): mask.anything(value, name) if faulty(name) else value
        for name, value in given.items()
    }


def _without_value(mask: Mask, problem: Problem) -> Problem:
    """Its path is a key, cut short where it is long: shown only as far as a blank or a digit would
    not part it.
    """
    path = problem.path if len(problem.path) < limits.SHOWN_CHARS else ""
    field = mask.some(path[1:]) or "the line"
    message = (
        f"{field} does not hold what is accepted; its value is not shown, for it holds personal"
        " data"
    )
    return Problem(problem.rule, mask.some(path), "", "", message)
