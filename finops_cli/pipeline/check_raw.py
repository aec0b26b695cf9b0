"""Judges what models said, word for word (`--keep-raw`), instead of what stands: the loop's own reading and rules, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import msgspec
from msgspec.structs import replace

from finops_cli.domain.finding import Finding, Problem
from finops_cli.kb.book import Book
from finops_cli.models import replies
from finops_cli.models.protocol import Attempt
from finops_cli.pipeline.check import Verdict, finding_of, judge_answers, judge_plan
from finops_cli.pipeline.intake import case_from, decode, fail_from
from finops_cli.pipeline.run_lines import is_run_line, stages_of


def judge_raw(lines: Iterable[bytes], inputs: Iterable[bytes] | None, book: Book) -> Iterator[Verdict]:
    """A verdict for each output line: the faults of every attempt that it keeps, against `inputs` (the blotter) where given.

    Paths point into the answer behind `/raw/STAGE/N`. Lines that nothing was asked for have no faults.
    """
    for number, (line, asked) in enumerate(zip(lines, inputs if inputs is not None else repeat(None), strict=False), start=1):
        given = decode(line)
        findings = [finding_of(given)] if isinstance(given, Problem) else list(_judge(given, asked, book))
        yield Verdict(number, not findings, findings)


def _judge(given: Any, asked: bytes | None, book: Book) -> Iterator[Finding]:
    if not is_run_line(given):
        yield _shape("", "a finops output line")
        return
    if given["status"] == "rejected":
        return
    raw = given.get("raw")
    if not isinstance(raw, dict) or not raw:
        yield _shape("/raw", "what was received; run with --keep-raw")
        return
    for stage in ("triage", "resolution"):
        try:
            attempts = msgspec.convert(raw.get(stage, []), list[Attempt])
        except msgspec.ValidationError as error:
            yield _shape(f"/raw/{stage}", f"a list of attempts ({error})")
            continue
        for i, attempt in enumerate(attempts):
            for finding in _heard(attempt, stage, given, asked, book):
                yield replace(finding, path=f"/raw/{stage}/{i}{finding.path}")


def _heard(attempt: Attempt, stage: str, given: dict[str, Any], asked: bytes | None, book: Book) -> list[Finding]:
    """The faults of one attempt."""
    if isinstance(attempt.failure, str):
        return [Finding(attempt.failure, "", "an answer", None, f"the attempt ended with {attempt.failure}")]
    read = replies.read(attempt.text or "", thinks=stage == "resolution" and not attempt.constrained)
    if isinstance(read, Finding):
        return [read]
    if asked is None:
        return judge_answers({stage: read.given}, book, None)
    if stages_of(given) == ["resolution"]:
        case = case_from(decode(asked), book)
        return [finding_of(p) for p in case.problems] if case.value is None else judge_plan(read.given, book, case.value)
    fail = fail_from(decode(asked))
    return [finding_of(p) for p in fail.problems] if fail.value is None else judge_answers({stage: read.given}, book, fail.value)


def _shape(path: str, expected: str) -> Finding:
    return Finding("schema.shape", path, expected, None, f"{path[1:] or 'the line'} is not {expected}")
