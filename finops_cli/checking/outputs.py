"""Check triage and resolution outputs from any source (contracts, section 3).

Every line gets one verdict, whatever its content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from finops_cli.checking.book_lines import check_book_line, is_book_line
from finops_cli.checking.clock import apply_clock, check_clock
from finops_cli.checking.headline import check_headline
from finops_cli.checking.inputs import check_warnings, inputs_of
from finops_cli.checking.line_shape import check_clock_shape
from finops_cli.checking.other_rules import RuleSets, judge_by_own_rules
from finops_cli.checking.parts import check_form, check_statements
from finops_cli.checking.run_lines import claims_run_line, is_sentiment_line
from finops_cli.checking.tone import check_tone
from finops_cli.checking.verdicts import (
    Verdict,
    finding_of,
    make_verdict,
    missing_answer,
    without_notes,
)
from finops_cli.clock.market_calendar import Calendar
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.fault import fault_finding
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.errors import FinopsError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import decode, parse_case, parse_fail
from finops_cli.rules.handoff import NotApplicable, find_obstacle, handoff
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import RESOLUTION, Codec, triage_codec
from finops_cli.verify.free_text import check_prose, check_reason
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.schemas import show_value
from finops_cli.verify.sentences.check import check_plan_sentences, check_triage_sentence
from finops_cli.verify.triage import check_triage

_SHAPES = (
    "a finops output line, {fail, triage}, {input, resolution}, or a bare triage or resolution"
    " object"
)


def check_lines(lines: Iterable[bytes], rules: RuleSets | KnowledgeBase) -> Iterator[Verdict]:
    """Check each line, by the rules that made it where `rules` has them."""
    kept = rules if isinstance(rules, RuleSets) else RuleSets(rules)
    for number, line in enumerate(lines, start=1):
        yield make_verdict(number, _check_safely(line, kept))


def _check_safely(line: bytes, rules: RuleSets) -> list[Finding]:
    """Check a line. A fault of the program that it causes is a finding."""
    try:
        given = decode(line)
        return [finding_of(given)] if isinstance(given, Problem) else _check_line(given, rules)
    except (FinopsError, OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - any fault; the verdict reports it
        return [fault_finding(error)]


def _check_line(given: Any, rules: RuleSets) -> list[Finding]:
    if not isinstance(given, dict):
        return [_wrong_shape(f"the line is {show_value(given)}")]
    if {"mode", "settles", "proposal"} <= given.keys():
        return [_wrong_shape("the line is an answer of finops net; give --legs LEGS")]
    if is_sentiment_line(given):
        return [_wrong_shape("the line is of finops sentiment, which has no rules")]
    if claims_run_line(given):
        return check_form(given) or [
            *check_statements(given, rules.kb),
            *judge_by_own_rules(given, rules, lambda kb: _check_run_answers(given, kb)),
        ]
    kb = rules.kb
    if "fail" in given and ("triage" in given or "resolution" in given):
        parsed = parse_fail(given["fail"], inputs_of(given, kb))
        if parsed.value is None:
            return [finding_of(problem, "/fail") for problem in parsed.problems]
        return check_answers(given, kb, parsed.value) or _refuse_unanswered(given)
    if "input" in given and "resolution" in given:
        case = parse_case(given["input"], kb)
        if case.value is None:
            return [finding_of(problem, "/input") for problem in case.problems]
        return check_plan(given["resolution"], kb, case.value)
    fields_of_triage, fields_of_plan = (
        len(given.keys() & set(kind.__struct_fields__)) for kind in (Triage, Resolution)
    )
    if not fields_of_triage and not fields_of_plan:
        return [_wrong_shape(f"the line has the fields {', '.join(list(given)[:8]) or 'none'}")]
    return (
        _check_triage(given, kb)
        if fields_of_triage >= fields_of_plan
        else _check_resolution(given, kb, None)
    )


def _check_run_answers(given: dict[str, Any], kb: KnowledgeBase) -> list[Finding]:
    """Check what a line of a run says, without its record."""
    found = [*check_clock_shape(given), *check_answers(given, kb, None)]
    if is_book_line(given):
        found += check_book_line(given)
    headline = [] if without_notes(found) else check_headline(given, kb)
    return [*check_warnings(given), *check_tone(given, kb), *found, *headline]


def check_answers(
    given: dict[str, Any],
    kb: KnowledgeBase,
    fail: FailRecord | None,
    calendar: Calendar | None = None,
    planned_by: dict[str, Any] | None = None,
) -> list[Finding]:
    """Check the triage and the resolution of a line, against `fail` if it is known.

    A null is not an answer and has no findings. `calendar` counts the days of the clock; None is
    the built-in one. `planned_by` is the line whose clock the plan follows; None is `given`.
    """
    findings: list[Finding] = []
    reference = triage(fail, kb) if fail is not None else None
    if given.get("triage") is not None:
        findings += _check_triage(given["triage"], kb, fail, reference)
    if fail is not None:
        findings += check_clock(given, fail, kb, calendar)
    if given.get("resolution") is None:
        return findings
    if fail is None or reference is None:
        return findings + _check_resolution(given["resolution"], kb, None)
    case = handoff(fail, reference, kb)
    if isinstance(case, NotApplicable):
        return [*findings, _does_not_apply(case.reason)]
    return findings + _check_resolution(
        given["resolution"], kb, apply_clock(case, planned_by or given)
    )


def check_plan(plan: Any, kb: KnowledgeBase, case: ResolverInput) -> list[Finding]:
    """Check a resolution against the case (resolver input) that it answers."""
    obstacle = find_obstacle(case)
    if obstacle is not None:
        return [] if plan is None else [_does_not_apply(obstacle.reason)]
    if plan is None:
        return [missing_answer("/resolution", "a plan")]
    return _check_resolution(plan, kb, case)


def _refuse_unanswered(given: dict[str, Any]) -> list[Finding]:
    if given.get("triage") is not None or given.get("resolution") is not None:
        return []
    return [_wrong_shape("the line has a fail and no answer to it")]


def _check_triage(
    given: Any, kb: KnowledgeBase, fail: FailRecord | None = None, reference: Triage | None = None
) -> list[Finding]:
    codec = triage_codec(kb.scoring.components)
    answer = codec.read(given)
    if answer is None:
        return _schema_findings(given, codec)
    if fail is None or reference is None:
        return [*check_triage(answer, kb), *check_triage_sentence(answer, answer, None, kb)]
    return [
        *check_triage(answer, kb, reference),
        *check_reason(answer, reference, fail, kb),
        *check_triage_sentence(answer, reference, fail, kb),
    ]


def _check_resolution(given: Any, kb: KnowledgeBase, case: ResolverInput | None) -> list[Finding]:
    answer = RESOLUTION.read(given)
    if answer is None:
        return _schema_findings(given, RESOLUTION)
    if case is None:
        return [*check_resolution(answer, kb), *check_plan_sentences(answer, answer, None, kb)]
    reference = resolve(case, kb)
    return [
        *check_resolution(answer, kb, reference, case.ftd_qty),
        *check_prose(answer, reference, case, kb),
        *check_plan_sentences(answer, reference, case, kb),
    ]


def _schema_findings(given: Any, shape: Codec[Any]) -> list[Finding]:
    return [finding_of(problem) for problem in shape.explain(given)]


def _does_not_apply(reason: str) -> Finding:
    message = f"the line has a resolution, but stage 2 does not apply: {reason}"
    return Finding(
        rule="waterfall.applies",
        path="/resolution",
        expected=None,
        actual="a resolution",
        message=message,
    )


def _wrong_shape(what: str) -> Finding:
    return Finding(
        rule="schema.shape",
        path="",
        expected=_SHAPES,
        actual=None,
        message=f"{what}; accepted: {_SHAPES}",
    )
