"""Judges output lines that anything produced (contracts, section 3). One verdict a line, whatever the line holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.pipeline.intake import case_from, decode, fail_from
from finops_cli.rules.handoff import case_not_resolved_because, handoff
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.schemas import faults, shown
from finops_cli.verify.shapes import RESOLUTION, TRIAGE, Shape
from finops_cli.verify.triage import check_triage

_SHAPES = "a finops output line, {fail, triage}, {input, resolution}, or a bare triage or resolution object"
_ANSWERED = ("ok", "repaired", "fallback")


class Verdict(Struct, frozen=True):
    """What is wrong with line `line` (counted from 1). Paths point into the triage or the resolution of the line."""

    line: int
    ok: bool
    findings: list[Finding]


def judge(lines: Iterable[bytes], book: Book, fails: Iterable[bytes] | None = None) -> Iterator[Verdict]:
    """A verdict for each line. `fails`: the input lines that a run's output lines answer, in the same order."""
    inputs = iter(fails) if fails is not None else None
    for number, line in enumerate(lines, start=1):
        given = decode(line)
        if isinstance(given, Problem):
            findings = [_finding(given)]
        elif inputs is not None:
            findings = _judge_with_input(given, next(inputs, None), book)
        else:
            findings = _judge(given, book)
        yield Verdict(number, not findings, findings)


def _judge_with_input(given: Any, asked: bytes | None, book: Book) -> list[Finding]:
    """A line of a run held against the input line it answers."""
    if asked is None:
        return [_shape("the fails file has no line for it")]
    if not _is_run_line(given):
        return [_shape("with --fails every line must be a finops output line")]
    fail = fail_from(decode(asked)).value
    if fail is not None and given["status"] == "rejected" and not _is_duplicate(given):
        message = "the line is rejected, but its fail record is usable"
        return [Finding("schema.shape", "/status", "an answer", "rejected", message)]
    return _judge_run_line(given, book, fail)


def _is_duplicate(given: dict[str, Any]) -> bool:
    error = given.get("error")
    problems = error.get("problems") if isinstance(error, dict) else None
    return isinstance(problems, list) and any(isinstance(p, dict) and p.get("rule") == "input.duplicate" for p in problems)


def _judge(given: Any, book: Book) -> list[Finding]:
    if not isinstance(given, dict):
        return [_shape(f"the line is {shown(given)}")]
    if _is_run_line(given):
        return _judge_run_line(given, book, None)
    if "fail" in given and ("triage" in given or "resolution" in given):
        taken = fail_from(given["fail"])
        if taken.value is None:
            return [_finding(problem, "/fail") for problem in taken.problems]
        return _judge_answers(given, book, taken.value)
    if "input" in given and "resolution" in given:
        case = case_from(given["input"], book)
        if case.value is None:
            return [_finding(problem, "/input") for problem in case.problems]
        reason = case_not_resolved_because(case.value)
        if reason is not None:
            return [] if given["resolution"] is None else [_does_not_apply(reason)]
        return _resolution(given["resolution"], book, case.value)
    fields_of_triage, fields_of_plan = (len(given.keys() & set(kind.__struct_fields__)) for kind in (Triage, Resolution))
    if not fields_of_triage and not fields_of_plan:
        return [_shape(f"the line has the fields {', '.join(list(given)[:8]) or 'none'}")]
    return _triage(given, book, None) if fields_of_triage >= fields_of_plan else _resolution(given, book, None)


def _is_run_line(given: Any) -> bool:
    return isinstance(given, dict) and "status" in given and "provenance" in given


def _judge_run_line(given: dict[str, Any], book: Book, fail: FailRecord | None) -> list[Finding]:
    status = given["status"]
    if status in _ANSWERED:
        if given.get("triage") is None and given.get("resolution") is None:
            message = f"status is {shown(status)}, but the line has no answer"
            return [Finding("schema.shape", "/status", "rejected or failed", status, message)]
    elif status == "rejected":
        if not isinstance(given.get("error"), dict):
            return [Finding("schema.shape", "/error", "why and where", None, "status is rejected, but the line does not say why")]
    elif status != "failed":
        accepted = ", ".join((*_ANSWERED, "rejected", "failed"))
        return [Finding("schema.enum", "/status", accepted, shown(status), f"status is {shown(status)}; accepted: {accepted}")]
    return _judge_answers(given, book, fail)


def _judge_answers(given: dict[str, Any], book: Book, fail: FailRecord | None) -> list[Finding]:
    """The triage and the resolution that `given` carries; null is no answer."""
    findings: list[Finding] = []
    reference = triage(fail, book) if fail is not None else None
    if given.get("triage") is not None:
        findings += _triage(given["triage"], book, reference)
    if given.get("resolution") is None:
        return findings
    if fail is None or reference is None:
        return findings + _resolution(given["resolution"], book, None)
    case = handoff(fail, reference, book)
    if isinstance(case, str):
        return [*findings, _does_not_apply(case)]
    return findings + _resolution(given["resolution"], book, case)


def _triage(given: Any, book: Book, reference: Triage | None) -> list[Finding]:
    answer = TRIAGE.read(given)
    return _ill_shaped(given, TRIAGE) if answer is None else check_triage(answer, book, reference)


def _resolution(given: Any, book: Book, case: ResolverInput | None) -> list[Finding]:
    answer = RESOLUTION.read(given)
    if answer is None:
        return _ill_shaped(given, RESOLUTION)
    return check_resolution(answer, book) if case is None else check_resolution(answer, book, resolve(case, book), case.ftd_qty)


def _ill_shaped(given: Any, shape: Shape[Any]) -> list[Finding]:
    return [_finding(problem) for problem in faults(given, shape.json_schema)]


def _finding(problem: Problem, prefix: str = "") -> Finding:
    return Finding(problem.rule, prefix + problem.path, problem.accepted, problem.value, problem.message)


def _does_not_apply(reason: str) -> Finding:
    message = f"the line has a resolution, but stage 2 does not apply: {reason}"
    return Finding("waterfall.applies", "", None, "a resolution", message)


def _shape(what: str) -> Finding:
    return Finding("schema.shape", "", _SHAPES, None, f"{what}; accepted: {_SHAPES}")
