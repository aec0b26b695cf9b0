"""Check a run against its blotter: each input line has its answer, under its own `fail_id`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from finops_cli.checking.alignment import Alignment, AskedRecord
from finops_cli.checking.book_lines import (
    check_book_line,
    is_book_line,
    is_rejected_by_book,
)
from finops_cli.checking.clock import is_refused
from finops_cli.checking.headline import check_fail_block, check_headline
from finops_cli.checking.inputs import check_input, inputs_of, is_strictly_rejected
from finops_cli.checking.other_rules import RuleSets, judge_by_own_rules
from finops_cli.checking.outputs import check_answers, check_plan
from finops_cli.checking.parts import check_form, check_statements
from finops_cli.checking.promises import check_promises, remember_promise
from finops_cli.checking.rejections import check_rejection
from finops_cli.checking.run_lines import answers_of, is_fault, is_run_line
from finops_cli.checking.tone import check_tone, check_tone_of
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
from finops_cli.domain.resolution import ResolverInput
from finops_cli.errors import FinopsError
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.case_lines import NoCase, to_no_case
from finops_cli.pipeline.earlier_lines import EarlierLines, Promises
from finops_cli.pipeline.parse import decode, parse_case, parse_fail
from finops_cli.rules.handoff import NotApplicable, find_obstacle, handoff
from finops_cli.rules.triage import triage
from finops_cli.verify.schemas import show_value


def check_run(
    lines: Iterable[bytes],
    inputs: Iterable[InputLine],
    rules: RuleSets | KnowledgeBase,
    calendar: Calendar | None = None,
) -> Iterator[Verdict]:
    """Check each output line, and report each input line at the end that has no output line.

    `calendar` is the one of the run, if a desk's file changed it.
    """
    kept = rules if isinstance(rules, RuleSets) else RuleSets(rules)
    alignment, number = Alignment(inputs), 0
    with EarlierLines() as earlier:
        check = _RunCheck(alignment, earlier, kept, calendar)
        for number, line in enumerate(lines, start=1):
            yield make_verdict(number, check.check_line(line))
    while (asked := alignment.take_next()) is not None:
        number += 1
        what = f"line {asked.number:,} of the input has no output line"
        missing = Finding(
            rule="check.order", path="", expected="an output line", actual=None, message=what
        )
        yield make_verdict(number, [missing])


@dataclass(frozen=True, slots=True)
class _RunCheck:
    """The check of the lines of one run, one after the other."""

    alignment: Alignment
    earlier: EarlierLines
    rules: RuleSets
    calendar: Calendar | None

    def check_line(self, line: bytes) -> list[Finding]:
        """Check a line. A fault of the program that it causes is a finding."""
        try:
            return self._check_line(line)
        except (FinopsError, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - any fault; the verdict reports it
            return [fault_finding(error)]

    def _check_line(self, line: bytes) -> list[Finding]:
        given = decode(line)
        if isinstance(given, Problem) or not is_run_line(given):
            self.alignment.skip(self.alignment.take_next())
            if isinstance(given, Problem):
                return [finding_of(given)]
            what = "only finops output lines can be compared with a blotter"
            return [_line("", "a finops output line", None, what)]
        asked, misplaced, is_next = self.alignment.find(given)
        self._remember_skipped(given, asked if is_next else None)
        if asked is None:
            return misplaced
        wrong = check_form(given)
        if wrong:
            if is_next:
                self._remember(given, asked)
            return misplaced + wrong
        repeated = self._is_repeated(asked)
        promises = self.earlier.promises if is_next else None

        def answer(kb: KnowledgeBase) -> list[Finding]:
            return _answer(given, asked, repeated, promises, kb, self.calendar)

        found = judge_by_own_rules(given, self.rules, answer)
        return [*misplaced, *check_statements(given, self.rules.kb), *found]

    def _remember_skipped(self, given: dict[str, Any], asked: AskedRecord | None) -> None:
        """Remember what the records before this line's promise, which no line answers."""
        for skipped in self.alignment.take_skipped(None if asked is None else asked.number):
            self._remember(given, skipped)

    def _remember(self, given: dict[str, Any], asked: AskedRecord) -> None:
        """Remember the name and the promise of a record, by the rules, at the moment of a line."""
        if self._is_repeated(asked):
            return
        kb = self.rules.kb
        value = parse_fail(asked.record, inputs_of(given, kb, self.calendar)).value
        if value is not None:
            remember_promise(value, self.earlier.promises, kb)

    def _is_repeated(self, asked: AskedRecord) -> bool:
        name = asked.given_name
        return name is not None and bool(self.earlier.seen.register([(name, asked.number)]))


def _answer(
    given: dict[str, Any],
    asked: AskedRecord,
    repeated: bool,
    promises: Promises | None,
    kb: KnowledgeBase,
    calendar: Calendar | None,
) -> list[Finding]:
    is_case = answers_of(given) == ["resolution"]
    passed_on = to_no_case(asked.record) if is_case else None
    if passed_on is not None:
        return _check_passed_on(given, passed_on)
    inputs = inputs_of(given, kb, calendar)
    parsed = parse_case(asked.record, kb) if is_case else parse_fail(asked.record, inputs)
    value = parsed.value
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
    if value is None and not repeated:
        return check_rejection(given, asked, parsed)
    if value is None or not usable or is_fault(given):
        return []
    found = check_input(given, value, inputs)
    if isinstance(value, ResolverInput):
        return found + _check_case_answer(given, value, kb)
    if is_book_line(given):
        return found + _check_book_answers(given, value, kb, calendar)
    if promises is not None:
        found += check_promises(given, value, promises)
    found += check_answers(given, kb, value, calendar)
    if given["status"] != "failed" and not without_notes(found):
        found += _missing_plan(given, value, kb)
    found += [*check_fail_block(given, value), *check_tone(given, kb)]
    if not without_notes(found):
        found += check_tone_of(given, value, kb)
    return found if without_notes(found) else [*found, *check_headline(given, kb)]


def _check_case_answer(
    given: dict[str, Any], case: ResolverInput, kb: KnowledgeBase
) -> list[Finding]:
    if given["status"] == "failed" and given.get("resolution") is None:
        return []
    found = check_plan(given.get("resolution"), kb, case)
    return found + _why_no_plan(given, find_obstacle(case))


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
    case = handoff(fail, triage(fail, kb), kb)
    if isinstance(case, NotApplicable):
        return _why_no_plan(given, case)
    return [missing_answer("/resolution", "a plan")]


def _why_no_plan(given: dict[str, Any], obstacle: NotApplicable | None) -> list[Finding]:
    """Compare the reason why a line has no plan with the reason in its record."""
    stated = given.get("resolution_skipped")
    if obstacle is None or stated == obstacle.reason:
        return []
    what = f"resolution_skipped is {show_value(stated)}; the record gives {obstacle.reason}"
    return [_line("/resolution_skipped", obstacle.reason, stated, what)]


def _line(path: str, expected: Any, actual: Any, message: str) -> Finding:
    return Finding(
        rule="schema.shape", path=path, expected=expected, actual=actual, message=message
    )
