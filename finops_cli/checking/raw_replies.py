"""Check the raw replies of models (`--keep-raw`) instead of the accepted answers.

Replies are parsed and checked as the verification loop does, without a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from finops_cli.checking.inputs import inputs_of
from finops_cli.checking.outputs import check_answers, check_plan
from finops_cli.checking.run_lines import answers_of, has_fail_id, is_run_line
from finops_cli.checking.verdicts import Verdict, finding_of, make_verdict
from finops_cli.domain.finding import Damage, Finding, Problem
from finops_cli.domain.stage_names import ANSWER_FIELDS
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import InputLine, lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.models.protocol import Attempt
from finops_cli.pipeline.input_source import decode_input, input_fail_id
from finops_cli.pipeline.parse import decode, fail_id_of, parse_case, parse_fail


def refuse_without_replies(source: Path | None) -> None:
    """Raise UsageError when no line of a file of run lines has kept the replies of a model.

    A stream can be read only once, so that it is not looked at.
    """
    if source is None or not source.is_file():
        return
    has_run_line = False
    with reading_lines(source) as file:
        for line, _ in lines_of(file):
            given = decode(line)
            if is_run_line(given):
                if given.get("raw") is not None:
                    return
                has_run_line |= given["status"] != "rejected" and _was_asked(given)
    if has_run_line:
        raise UsageError(
            f"{source}: no line has kept the replies of the models",
            "run it again with --keep-raw, or leave --raw out",
        )


def _was_asked(line: dict[str, Any]) -> bool:
    """Return false for a line whose prompt did not fit, so that no model was asked."""
    provenance = line.get("provenance")
    return not (isinstance(provenance, dict) and provenance.get("attempts") == 0)


def check_raw(
    lines: Iterable[bytes], inputs: Iterable[InputLine] | None, kb: KnowledgeBase
) -> Iterator[Verdict]:
    """Check every attempt that each output line keeps, against `inputs` (the blotter) if given.

    Paths point into the answer at `/raw/ANSWER/N`. Lines for which no model was asked have no
    findings.
    """
    pairs: Iterable[tuple[bytes | None, InputLine | None]] = (
        zip_longest(lines, inputs) if inputs is not None else ((line, None) for line in lines)
    )
    for number, (line, input_line) in enumerate(pairs, start=1):
        findings = list(_check_pair(number, line, input_line, inputs is not None, kb))
        yield make_verdict(number, findings)


def _check_pair(
    number: int,
    line: bytes | None,
    input_line: InputLine | None,
    has_inputs: bool,
    kb: KnowledgeBase,
) -> Iterator[Finding]:
    if line is None or (has_inputs and input_line is None):
        absent = "the input" if input_line is None else "the output"
        yield _shape("", f"one of a pair: {absent} has no line {number}")
        return
    given = decode(line)
    if isinstance(given, Problem):
        yield finding_of(given)
        return
    if input_line is not None and isinstance(given, dict):
        expected = fail_id_of(decode_input(input_line)) or input_fail_id(input_line, number)
        if not has_fail_id(given, expected):
            yield _shape("/fail_id", f"the answer to {expected}")
            return
    yield from _check_line(given, b"" if isinstance(input_line, Damage) else input_line, kb)


def _check_line(given: Any, input_line: bytes | None, kb: KnowledgeBase) -> Iterator[Finding]:
    if not is_run_line(given):
        yield _shape("", "a finops output line")
        return
    if given["status"] == "rejected":
        return
    raw = given.get("raw")
    provenance = given.get("provenance")
    if raw is None and isinstance(provenance, dict) and provenance.get("attempts") == 0:
        return  # no model was asked: the prompt did not fit
    if not isinstance(raw, dict) or not any(
        isinstance(raw.get(answer_name), list) and raw[answer_name]
        for answer_name in ANSWER_FIELDS.values()
    ):
        yield _shape("/raw", "what was received; run with --keep-raw")
        return
    for answer_name in ANSWER_FIELDS.values():
        try:
            attempts = msgspec.convert(raw.get(answer_name, []), list[Attempt])
        except msgspec.ValidationError as error:
            yield _shape(f"/raw/{answer_name}", f"a list of attempts ({error})")
            continue
        for i, attempt in enumerate(attempts):
            for finding in _check_attempt(attempt, answer_name, given, input_line, kb):
                yield replace(finding, path=f"/raw/{answer_name}/{i}{finding.path}")


def _check_attempt(
    attempt: Attempt,
    answer_name: str,
    given: dict[str, Any],
    input_line: bytes | None,
    kb: KnowledgeBase,
) -> list[Finding]:
    """Parse one attempt and check its answer."""
    if isinstance(attempt.failure, str):
        return [
            Finding(
                rule=attempt.failure,
                path="",
                expected="an answer",
                actual=None,
                message=f"the attempt ended with {attempt.failure}",
            )
        ]
    response = response_parser.parse_response(attempt.text or "", kb.models)
    if isinstance(response, Finding):
        return [response]
    if input_line is None:
        return check_answers({answer_name: response.value}, kb, None)
    if answers_of(given) == ["resolution"]:
        case = parse_case(decode(input_line), kb)
        return (
            [finding_of(p) for p in case.problems]
            if case.value is None
            else check_plan(response.value, kb, case.value)
        )
    fail = parse_fail(decode(input_line), inputs_of(given, kb))
    return (
        [finding_of(p) for p in fail.problems]
        if fail.value is None
        else check_answers({answer_name: response.value}, kb, fail.value, planned_by=given)
    )


def _shape(path: str, expected: str) -> Finding:
    return Finding(
        rule="schema.shape",
        path=path,
        expected=expected,
        actual=None,
        message=f"{path[1:] or 'the line'} is not {expected}",
    )
