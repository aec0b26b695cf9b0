"""Check a run against its blotter: each input line has its answer, under its own `fail_id`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from finops_cli.checking.book_lines import (
    check_book_line,
    is_book_line,
    is_rejected_by_book,
)
from finops_cli.checking.clock import is_refused
from finops_cli.checking.headline import check_fail_block, check_headline
from finops_cli.checking.inputs import check_input, inputs_of, is_strictly_rejected
from finops_cli.checking.outputs import (
    Verdict,
    check_answers,
    check_plan,
    finding_of,
    make_verdict,
    missing_answer,
    without_notes,
)
from finops_cli.checking.promises import check_promises, remember_promise
from finops_cli.checking.run_lines import answers_of, check_run_line, has_fail_id, is_run_line
from finops_cli.clock.market_calendar import Calendar
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.fault import fault_finding
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import ResolverInput
from finops_cli.errors import FinopsError
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.case_lines import NoCase, to_no_case
from finops_cli.pipeline.earlier_lines import EarlierLines
from finops_cli.pipeline.input_source import decode_input, input_fail_id
from finops_cli.pipeline.parse import decode, fail_id_of, parse_case, parse_fail
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage


def check_run(
    lines: Iterable[bytes],
    inputs: Iterable[InputLine],
    kb: KnowledgeBase,
    calendar: Calendar | None = None,
) -> Iterator[Verdict]:
    """Check each output line, and report each input line that has no output line.

    `calendar` is the one of the run, if a desk's file changed it.
    """
    with EarlierLines() as earlier:
        for number, (line, input_line) in enumerate(zip_longest(lines, inputs), start=1):
            try:
                findings = _check_line(line, input_line, number, earlier, kb, calendar)
            except (FinopsError, OSError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - any fault; the verdict reports it
                findings = [fault_finding(error)]
            yield make_verdict(number, findings)


def _check_line(
    line: bytes | None,
    input_line: InputLine | None,
    number: int,
    earlier: EarlierLines,
    kb: KnowledgeBase,
    calendar: Calendar | None,
) -> list[Finding]:
    if line is None:
        return [_line("", "an output line", None, f"line {number} of the input has no output line")]
    if input_line is None:
        return [_line("", None, "an output line", f"the input has no line {number}")]
    given, record = decode(line), decode_input(input_line)
    if isinstance(given, Problem):
        return [finding_of(given)]
    if not is_run_line(given):
        return [
            _line(
                "",
                "a finops output line",
                None,
                "only finops output lines can be compared with a blotter",
            )
        ]
    name = fail_id_of(record)
    repeated = name is not None and bool(earlier.seen.register([(name, number)]))
    expected = name or input_fail_id(input_line, number)
    if not has_fail_id(given, expected):
        value = None if repeated else parse_fail(record, inputs_of(given, kb, calendar)).value
        if value is not None:
            remember_promise(value, earlier.promises, kb)
        return [
            _line(
                "/fail_id",
                expected,
                given.get("fail_id"),
                f"the line answers {given.get('fail_id')}, not {expected}",
            )
        ]
    return check_run_line(given) or _answer(given, record, repeated, earlier, kb, calendar)


def _answer(
    given: dict[str, Any],
    record: Any,
    repeated: bool,
    earlier: EarlierLines,
    kb: KnowledgeBase,
    calendar: Calendar | None,
) -> list[Finding]:
    is_case = answers_of(given) == ["resolution"]
    passed_on = to_no_case(record) if is_case else None
    if passed_on is not None:
        return _check_passed_on(given, passed_on)
    inputs = inputs_of(given, kb, calendar)
    value = parse_case(record, kb).value if is_case else parse_fail(record, inputs).value
    usable = value is not None and not repeated
    if value is not None and usable and given["status"] == "rejected":
        usable = not is_strictly_rejected(given, value, inputs)
        if usable and isinstance(value, FailRecord):
            usable = not is_refused(given, value, kb, calendar)
        if usable and is_book_line(given) and is_rejected_by_book(given):
            return []  # only the inventory of the book can judge it
    if usable == (given["status"] == "rejected"):
        expected, problem = ("an answer", "is usable") if usable else ("rejected", "is not usable")
        return [
            _line(
                "/status",
                expected,
                given["status"],
                f"status is {given['status']}, but the input {problem}",
            )
        ]
    if value is None or not usable or given["status"] == "failed":
        return []
    found = check_input(given, value, inputs)
    if isinstance(value, ResolverInput):
        return [*found, *check_plan(given.get("resolution"), kb, value)]
    if is_book_line(given):
        return found + _check_book_answers(given, value, kb, calendar)
    found += check_promises(given, value, earlier.promises)
    found += check_answers(given, kb, value, calendar)
    if not without_notes(found):
        found += _missing_plan(given, value, kb)
    found += check_fail_block(given, value)
    return found if without_notes(found) else [*found, *check_headline(given, kb)]


def _check_passed_on(given: dict[str, Any], line: NoCase) -> list[Finding]:
    """Check the answer to a fail that has no case: its reason is passed on, and nothing is planned.

    The guard may have masked the reason, so its words are not compared.
    """
    status = "rejected" if line.status == "rejected" else "ok"
    if given["status"] != status:
        message = f"status is {given['status']}, but the fail has no case: {line.status}"
        return [_line("/status", status, given["status"], message)]
    if given.get("resolution") is not None:
        return [_line("/resolution", None, "a plan", "the fail has a plan, but no case")]
    return []


def _check_book_answers(
    given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase, calendar: Calendar | None
) -> list[Finding]:
    """Check a line of `finops book`: its plan rests on its allotment, not on the record alone."""
    found = check_answers({**given, "resolution": None}, kb, fail, calendar)
    found += check_answers({**given, "triage": None}, kb, None)
    found += [*check_book_line(given), *check_fail_block(given, fail)]
    return found if without_notes(found) else [*found, *check_headline(given, kb)]


def _missing_plan(given: dict[str, Any], fail: Any, kb: KnowledgeBase) -> list[Finding]:
    """Report a line of `run` that lacks the resolution that its fail needs."""
    if "resolution" not in answers_of(given) or given.get("resolution") is not None:
        return []
    return (
        []
        if isinstance(handoff(fail, triage(fail, kb), kb), NotApplicable)
        else [missing_answer("/resolution", "a plan")]
    )


def _line(path: str, expected: Any, actual: Any, message: str) -> Finding:
    return Finding(
        rule="schema.shape", path=path, expected=expected, actual=actual, message=message
    )
