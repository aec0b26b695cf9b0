"""Redact the free text of a record before any model sees it (decision 0012, kb: `guard.*`)."""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from typing import Any, ClassVar, NamedTuple

from msgspec.structs import replace

from finops_cli import extras
from finops_cli.domain import limits
from finops_cli.domain.enums import GuardMode
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage, Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.errors import MissingPiece
from finops_cli.guard.placeholders import PLACEHOLDER, WITHHELD, NoDetector, Reader
from finops_cli.guard.records import (
    TEXT_FIELDS,
    Mask,
    guarded_case,
    guarded_fail,
    has_free_text,
    withhold_facts,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.parse import ParseResult, decode

Parse = Callable[[Any], ParseResult[Any]]
"""A function from a decoded line to an input, or to its problems."""
_HEAD_BYTES = 4096
"""The length of a non-JSON line and of a far too long text that is scanned. Messages show much
less of it.
"""
_ANYWHERE = ("text", "notes", "dk_reason", "symbol", "counterparty_name", "origin")
"""Fields with free text, valid or not."""
_EVENT_TEXTS = ("id", "to", "rule")
"""The fields of an event that are text. The clock refuses an unknown rule and quotes it."""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_QUOTING = ("path", "value", "accepted", "message")

Masks = tuple[str, ...]


class RedactionPolicy(ABC):
    """Redacts a record before any model sees it."""

    mode: ClassVar[str]
    """The value in the note of a run, so that `--resume` notices another policy."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @abstractmethod
    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        """Return the redacted record and the kinds that were masked; None if no guard read it."""

    @abstractmethod
    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        """Return the redacted resolver input and the kinds that were masked."""

    @abstractmethod
    def text(self, text: str) -> tuple[str, Masks]:
        """Return a redacted text without a record, and the kinds that were masked."""

    def open_mask(self) -> Mask:
        """Return what masks the parts of one record of any shape."""
        return Mask(self._reader)

    def name(self, given_id: str) -> str:
        """Return the redacted name of a record."""
        return self._reader.mask_reference(given_id).text

    def clock_problem(self, problem: Problem) -> Problem:
        """Redact the problem of facts that the clock refuses, because it quotes them."""
        return redact_problems(Mask(self._reader), None, None, [problem], None).problems[0]

    def redact_problems(
        self, line: bytes | None, given_id: str | None, problems: list[Problem], parse: Parse | None
    ) -> RedactedProblems:
        """Redact the problems of a rejected line, because they quote it."""
        return redact_problems(Mask(self._reader), line, given_id, problems, parse)


class MaskText(RedactionPolicy):
    """Mask the personal data that the guard finds."""

    mode = "masked"

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks]:
        return guarded_fail(self._reader, fail)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks]:
        return guarded_case(self._reader, case)

    def text(self, text: str) -> tuple[str, Masks]:
        mask = Mask(self._reader)
        return mask.some(text), mask.kinds


class WithholdText(RedactionPolicy):
    """Replace all free text by a placeholder, because no guard is installed."""

    mode = "withheld"

    def __init__(self) -> None:
        super().__init__(NoDetector())

    def fail(self, fail: FailRecord) -> tuple[FailRecord, Masks | None]:
        changed: dict[str, Any] = {name: PLACEHOLDER for name in TEXT_FIELDS if getattr(fail, name)}
        facts = fail.clock_facts
        if facts is not None and (withheld := withhold_facts(facts)) is not facts:
            changed["clock_facts"] = withheld
        return (replace(fail, **changed), (WITHHELD,)) if changed else (fail, None)

    def clock_problem(self, problem: Problem) -> Problem:
        if problem.path.rpartition("/")[2] not in _EVENT_TEXTS or not problem.value:
            return problem
        message = problem.message.replace(problem.value, PLACEHOLDER)
        return replace(problem, value=PLACEHOLDER, message=message)

    def case(self, case: ResolverInput) -> tuple[ResolverInput, Masks | None]:
        if not has_free_text(case):
            return case, None
        return replace(case, triage=replace(case.triage, reason=PLACEHOLDER)), (WITHHELD,)

    def text(self, text: str) -> tuple[str, Masks]:
        return (PLACEHOLDER, (WITHHELD,)) if text else (text, ())


class RequireGuard(RedactionPolicy):
    """Stop the run at a record with free text, because no guard is installed.

    `asks_models` is true if a language model would read the text.
    """

    mode = "required"

    def __init__(self, asks_models: bool) -> None:
        super().__init__(NoDetector())
        self._asks_models = asks_models

    def fail(self, fail: FailRecord) -> tuple[FailRecord, None]:
        if has_free_text(fail):
            raise self.refuse(f"record {fail.fail_id}" if fail.fail_id else "a record")
        return fail, None

    def case(self, case: ResolverInput) -> tuple[ResolverInput, None]:
        if has_free_text(case):
            raise self.refuse(
                f"resolver input {case.fail_id}" if case.fail_id else "a resolver input"
            )
        return case, None

    def text(self, text: str) -> tuple[str, Masks]:
        raise self.refuse("the text")

    def refuse_clock_text(self, fail: FailRecord) -> None:
        """Raise MissingPiece if the clock of `fail` would repeat text that nobody has scanned."""
        facts = fail.clock_facts
        if facts is not None and withhold_facts(facts) is not facts:
            raise self.refuse(f"record {fail.fail_id}" if fail.fail_id else "a record")

    def look_ahead(
        self,
        source: InputSource,
        parse_line: Callable[[bytes], ParseResult[Any]],
    ) -> None:
        """Refuse a file that has a record with free text, before anything of it is sent.

        A pipe cannot be read twice, so its run stops at that record.

        Raises MissingPiece that names the first such record.
        """
        if not source.parts and (source.path is None or not source.path.is_file()):
            return
        with closing(source.lines()) as lines:
            for number, line in enumerate(lines, start=1):
                record = None if isinstance(line, Damage) else parse_line(line).value
                if record is not None and has_free_text(record):
                    raise self.refuse(f"line {number}: {record.fail_id or 'the record'}")

    def refuse(self, what: str) -> MissingPiece:
        """Return the error for `what`, which has free text."""
        otherwise = (
            "--backend engine asks no model"
            if self._asks_models
            else "--guard off keeps the text unchanged"
        )
        return MissingPiece(
            f"{what} has free text, and the scanner for personal data is not installed",
            f"{extras.cure('guard')}; --guard on withholds such text instead, {otherwise}",
        )


def redaction_policy(
    mode: GuardMode | None, asks_models: bool, kb: KnowledgeBase
) -> RedactionPolicy | None:
    """Return the policy of `--guard`; None if text is sent unchanged.

    Without `--guard` the policy is `require` with models and `off` with the engine.
    """
    policy = mode or ("require" if asks_models else "off")
    if policy == "off":
        return None
    from finops_cli.guard.detector import installed, open_guard

    if installed():
        return MaskText(open_guard(kb.guard))
    return WithholdText() if policy == "on" else RequireGuard(asks_models)


class RedactedProblems(NamedTuple):
    """The problems of a rejected line, redacted.

    `masks` is None if nothing was masked and no guard read the line.
    """

    problems: list[Problem]
    masks: tuple[str, ...] | None


def redact_problems(
    mask: Mask,
    line: bytes | None,
    given_id: str | None,
    problems: list[Problem],
    parse: Parse | None,
) -> RedactedProblems:
    """Redact `problems`. Without `line` and `parse` they quote only the name of the record."""
    shown = (
        problems if line is None or parse is None else _recheck_masked(mask, line, problems, parse)
    )
    mask.reference(given_id)  # kinds that are masked in its name count too
    if mask.reads:
        shown = [
            each
            if each.rule == "schema.required"  # it quotes the names of fields alone
            else replace(each, **{part: mask.some(getattr(each, part)) for part in _QUOTING})
            for each in shown
        ]
    return RedactedProblems(shown, mask.kinds if mask.found or mask.reads else None)


def _recheck_masked(
    mask: Mask, line: bytes, problems: list[Problem], parse: Parse
) -> list[Problem]:
    """Return the problems of the masked line.

    A problem that masking removes is kept without its value.
    """
    given = decode(line)
    if isinstance(given, Problem):
        head = mask.some(_decode_line(line[:_HEAD_BYTES])).strip()
        return [replace(each, value=head[: limits.SHOWN_CHARS]) for each in problems]
    if isinstance(given, list):
        return problems  # they quote its size
    masked = (
        _mask_faulty_values(mask, given, problems)
        if isinstance(given, dict)
        else mask.anything(given)
    )
    if not mask.found:
        return problems
    again = parse(masked).problems
    shown = {each.path for each in again}
    return [*again, *(_drop_value(mask, each) for each in problems if each.path not in shown)]


def _decode_line(head: bytes) -> str:
    """Decode a line that is not JSON, its escapes too: a number may be written with them."""
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


def _mask_faulty_values(
    mask: Mask, given: dict[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """Mask each value that a problem is about, and its key. Valid values stay unchanged."""

    def faulty(name: str) -> bool:
        path = f"/{name[: limits.SHOWN_CHARS]}"
        return name in _ANYWHERE or any(
            each.path == path or each.path.startswith(f"{path}/") for each in problems
        )

    return {
        _mask_head(mask, name): _mask_head(mask, value, name) if faulty(name) else value
        for name, value in given.items()
    }


def _mask_head(mask: Mask, value: Any, *names: str) -> Any:
    """Mask a value; of a text that is too long to be valid only the part that can be quoted."""
    if not isinstance(value, str) or len(value) <= limits.TEXT_CHARS:
        return mask.anything(value, *names)
    return mask.anything(value[:_HEAD_BYTES], *names) + value[_HEAD_BYTES:]


def _drop_value(mask: Mask, problem: Problem) -> Problem:
    """Return the problem without its value. A path that may have been cut is left out."""
    path = problem.path if len(problem.path) < limits.SHOWN_CHARS else ""
    field = mask.some(path[1:]) or "the line"
    message = (
        f"{field} does not hold what is accepted; its value is not shown, for it holds personal"
        " data"
    )
    return Problem(rule=problem.rule, path=mask.some(path), value="", accepted="", message=message)
