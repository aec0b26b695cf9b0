"""Judges a run against the blotter that it answers: every line has its answer, under its own name,
and no answer is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from finops_cli.checking.outputs import (
    Verdict,
    finding_of,
    judge_answers,
    judge_plan,
    missing_answer,
)
from finops_cli.checking.run_lines import faults_of_run_line, is_called, is_run_line, stages_of
from finops_cli.domain.finding import Finding, Problem
from finops_cli.files.seen_ids import SeenIds
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import decode, fail_id_of, parse_case, parse_fail
from finops_cli.pipeline.pipeline import default_fail_id
from finops_cli.rules.handoff import handoff
from finops_cli.rules.triage import triage


def judge_run(
    lines: Iterable[bytes], inputs: Iterable[bytes], kb: KnowledgeBase
) -> Iterator[Verdict]:
    """A verdict for each output line, and one for each input line that has none."""
    with SeenIds() as seen:
        for number, (line, asked) in enumerate(zip_longest(lines, inputs), start=1):
            findings = _judge(line, asked, number, seen, kb)
            yield Verdict(number, not findings, findings)


def _judge(
    line: bytes | None, asked: bytes | None, number: int, seen: SeenIds, kb: KnowledgeBase
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
    name = fail_id_of(wanted)
    repeated = name is not None and bool(seen.register([(name, number)]))
    expected = name or default_fail_id(number)
    if not is_called(given, expected):
        return [
            _line(
                "/fail_id",
                expected,
                given.get("fail_id"),
                f"the line answers {given.get('fail_id')}, not {expected}",
            )
        ]
    return faults_of_run_line(given) or _answer(given, wanted, repeated, kb)


def _answer(given: dict[str, Any], wanted: Any, repeated: bool, kb: KnowledgeBase) -> list[Finding]:
    is_case = stages_of(given) == ["resolution"]
    taken = parse_case(wanted, kb) if is_case else parse_fail(wanted)
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
        return judge_plan(given.get("resolution"), kb, taken.value)  # type: ignore[arg-type]
    found = judge_answers(given, kb, taken.value)  # type: ignore[arg-type]
    return found or _missing_plan(given, taken.value, kb)


def _missing_plan(given: dict[str, Any], fail: Any, kb: KnowledgeBase) -> list[Finding]:
    """A line of `run` without a resolution where stage 2 applies."""
    if "resolution" not in stages_of(given) or given.get("resolution") is not None:
        return []
    return (
        []
        if isinstance(handoff(fail, triage(fail, kb), kb), str)
        else [missing_answer("/resolution", "a plan")]
    )


def _line(path: str, expected: Any, actual: Any, message: str) -> Finding:
    return Finding("schema.shape", path, expected, actual, message)
