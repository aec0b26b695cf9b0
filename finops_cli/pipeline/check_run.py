"""Judges a run against the blotter that it answers: every line has its answer, under its own name,
and no answer is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from finops_cli.domain.finding import Finding, Problem
from finops_cli.kb.book import Book
from finops_cli.pipeline.check import Verdict, finding_of, judge_answers, judge_plan, missing_answer
from finops_cli.pipeline.desk import default_name
from finops_cli.pipeline.duplicates import SeenIds
from finops_cli.pipeline.intake import case_from, decode, fail_from, name_of
from finops_cli.pipeline.run_lines import faults_of_run_line, is_called, is_run_line, stages_of
from finops_cli.rules.handoff import handoff
from finops_cli.rules.triage import triage


def judge_run(lines: Iterable[bytes], inputs: Iterable[bytes], book: Book) -> Iterator[Verdict]:
    """A verdict for each output line, and one for each input line that has none."""
    with SeenIds() as seen:
        for number, (line, asked) in enumerate(zip_longest(lines, inputs), start=1):
            findings = _judge(line, asked, number, seen, book)
            yield Verdict(number, not findings, findings)


def _judge(
    line: bytes | None, asked: bytes | None, number: int, seen: SeenIds, book: Book
) -> list[Finding]:
    if line is None:
        return [_line("", "an output line", None, f"line {number} of the input has no output line")]
    if asked is None:
        return [_line("", None, "an output line", f"the input has no line {number}")]
    given, wanted = decode(line), decode(asked)
    if isinstance(given, Problem):
        return [finding_of(given)]
    if not is_run_line(given):
        return [
            _line(
                "",
                "a finops output line",
                None,
                "only finops output lines can be held against a blotter",
            )
        ]
    name = name_of(wanted)
    repeated = name is not None and bool(seen.register([(name, number)]))
    expected = name or default_name(number)
    if not is_called(given, expected):
        return [
            _line(
                "/fail_id",
                expected,
                given.get("fail_id"),
                f"the line answers {given.get('fail_id')}, not {expected}",
            )
        ]
    return faults_of_run_line(given) or _answer(given, wanted, repeated, book)


def _answer(given: dict[str, Any], wanted: Any, repeated: bool, book: Book) -> list[Finding]:
    is_case = stages_of(given) == ["resolution"]
    taken = case_from(wanted, book) if is_case else fail_from(wanted)
    usable = taken.value is not None and not repeated
    if usable == (given["status"] == "rejected"):
        expected, told = ("an answer", "is usable") if usable else ("rejected", "is not usable")
        return [
            _line(
                "/status",
                expected,
                given["status"],
                f"status is {given['status']}, but the input {told}",
            )
        ]
    if not usable or given["status"] == "failed":
        return []
    if is_case:
        return judge_plan(given.get("resolution"), book, taken.value)  # type: ignore[arg-type]
    found = judge_answers(given, book, taken.value)  # type: ignore[arg-type]
    return found or _missing_plan(given, taken.value, book)


def _missing_plan(given: dict[str, Any], fail: Any, book: Book) -> list[Finding]:
    """A line of `run` without a resolution where stage 2 applies."""
    if "resolution" not in stages_of(given) or given.get("resolution") is not None:
        return []
    return (
        []
        if isinstance(handoff(fail, triage(fail, book), book), str)
        else [missing_answer("/resolution", "a plan")]
    )


def _line(path: str, expected: Any, actual: Any, message: str) -> Finding:
    return Finding("schema.shape", path, expected, actual, message)
