"""Judges what models said, word for word (`--keep-raw`), instead of what stands: the loop's own
reading and rules, without a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec.structs import replace

from finops_cli.checking.outputs import Verdict, finding_of, judge_answers, judge_plan
from finops_cli.checking.run_lines import is_called, is_run_line, stages_of
from finops_cli.domain.finding import Finding, Problem
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.models.protocol import Attempt
from finops_cli.pipeline.parse import decode, fail_id_of, parse_case, parse_fail
from finops_cli.pipeline.pipeline import default_fail_id


def judge_raw(
    lines: Iterable[bytes], inputs: Iterable[bytes] | None, kb: KnowledgeBase
) -> Iterator[Verdict]:
    """A verdict for each output line: the faults of every attempt that it keeps, against `inputs`
    (the blotter) where given.

    Paths point into the answer behind `/raw/STAGE/N`. Lines that nothing was asked for have no
    faults.
    """
    pairs: Iterable[tuple[bytes | None, bytes | None]] = (
        zip_longest(lines, inputs) if inputs is not None else ((line, None) for line in lines)
    )
    for number, (line, asked) in enumerate(pairs, start=1):
        findings = list(_verdict(number, line, asked, inputs is not None, kb))
        yield Verdict(number, not findings, findings)


def _verdict(
    number: int, line: bytes | None, asked: bytes | None, compared: bool, kb: KnowledgeBase
) -> Iterator[Finding]:
    if line is None or (compared and asked is None):
        yield _shape(
            "",
            f"one of a pair: {'the input' if asked is None else 'the output'} has no line {number}",
        )
        return
    given = decode(line)
    if isinstance(given, Problem):
        yield finding_of(given)
        return
    name = fail_id_of(decode(asked)) if asked is not None else None
    if (
        asked is not None
        and isinstance(given, dict)
        and not is_called(given, name or default_fail_id(number))
    ):
        yield _shape("/fail_id", f"the answer to {name or default_fail_id(number)}")
        return
    yield from _judge(given, asked, kb)


def _judge(given: Any, asked: bytes | None, kb: KnowledgeBase) -> Iterator[Finding]:
    if not is_run_line(given):
        yield _shape("", "a finops output line")
        return
    if given["status"] == "rejected":
        return
    raw = given.get("raw")
    provenance = given.get("provenance")
    if raw is None and isinstance(provenance, dict) and provenance.get("attempts") == 0:
        return  # nothing was asked: the prompt did not fit
    if not isinstance(raw, dict) or not any(
        isinstance(raw.get(stage), list) and raw[stage] for stage in ("triage", "resolution")
    ):
        yield _shape("/raw", "what was received; run with --keep-raw")
        return
    for stage in ("triage", "resolution"):
        try:
            attempts = msgspec.convert(raw.get(stage, []), list[Attempt])
        except msgspec.ValidationError as error:
            yield _shape(f"/raw/{stage}", f"a list of attempts ({error})")
            continue
        for i, attempt in enumerate(attempts):
            for finding in _heard(attempt, stage, given, asked, kb):
                yield replace(finding, path=f"/raw/{stage}/{i}{finding.path}")


def _heard(
    attempt: Attempt, stage: str, given: dict[str, Any], asked: bytes | None, kb: KnowledgeBase
) -> list[Finding]:
    """The faults of one attempt."""
    if isinstance(attempt.failure, str):
        return [
            Finding(
                attempt.failure, "", "an answer", None, f"the attempt ended with {attempt.failure}"
            )
        ]
    read = response_parser.parse_response(
        attempt.text or "", expects_reasoning=stage == "resolution" and not attempt.constrained
    )
    if isinstance(read, Finding):
        return [read]
    if asked is None:
        return judge_answers({stage: read.value}, kb, None)
    if stages_of(given) == ["resolution"]:
        case = parse_case(decode(asked), kb)
        return (
            [finding_of(p) for p in case.problems]
            if case.value is None
            else judge_plan(read.value, kb, case.value)
        )
    fail = parse_fail(decode(asked))
    return (
        [finding_of(p) for p in fail.problems]
        if fail.value is None
        else judge_answers({stage: read.value}, kb, fail.value)
    )


def _shape(path: str, expected: str) -> Finding:
    return Finding(
        "schema.shape", path, expected, None, f"{path[1:] or 'the line'} is not {expected}"
    )
