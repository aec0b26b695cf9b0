"""The stations of the desk. Each asks the backend, reckons the reference, and has the answer judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, TypeVar

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.intake import take_case, take_fail
from finops_cli.rules.handoff import case_not_resolved_because, handoff
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage
from finops_cli.verify.resolution import check_resolution
from finops_cli.verify.triage import check_triage

T = TypeVar("T")
Stage = Literal["run", "triage", "resolve"]


class Judged(NamedTuple, Generic[T]):
    """An answer and everything that is wrong with it."""

    answer: T
    findings: list[Finding]


class Outcome(NamedTuple):
    """What one input line came to. `problems` say why it could not be used; `owed` is in shares."""

    given_id: str | None
    owed: int = 0
    triage: Judged[Triage] | None = None
    resolution: Judged[Resolution] | None = None
    skipped: str | None = None
    problems: list[Problem] | None = None


def run_both(line: bytes, backend: Backend, book: Book) -> Outcome:
    """Triage, handoff, resolution. A triage that does not stand is not handed on."""
    fail, given_id, problems = take_fail(line)
    if fail is None:
        return Outcome(given_id, problems=problems)
    first = _ask_triage(fail, backend, book)
    if first.findings:
        return Outcome(given_id, fail.qty, first, skipped="the triage does not stand")
    case = handoff(fail, first.answer, book)
    if isinstance(case, str):
        return Outcome(given_id, fail.qty, first, skipped=case)
    return Outcome(given_id, fail.qty, first, _ask_resolution(case, backend, book))


def run_triage(line: bytes, backend: Backend, book: Book) -> Outcome:
    """Stage 1 alone."""
    fail, given_id, problems = take_fail(line)
    if fail is None:
        return Outcome(given_id, problems=problems)
    return Outcome(given_id, fail.qty, _ask_triage(fail, backend, book))


def run_resolution(line: bytes, backend: Backend, book: Book) -> Outcome:
    """Stage 2 alone, from card-2 input objects."""
    case, given_id, problems = take_case(line, book)
    if case is None:
        return Outcome(given_id, problems=problems)
    reason = case_not_resolved_because(case)
    if reason is not None:
        return Outcome(given_id, case.ftd_qty, skipped=reason)
    return Outcome(given_id, case.ftd_qty, resolution=_ask_resolution(case, backend, book))


STATIONS: dict[Stage, Callable[[bytes, Backend, Book], Outcome]] = {
    "run": run_both,
    "triage": run_triage,
    "resolve": run_resolution,
}


def _ask_triage(fail: FailRecord, backend: Backend, book: Book) -> Judged[Triage]:
    answer = backend.triage(fail)
    reference = answer if backend.is_reference else triage(fail, book)
    return Judged(answer, check_triage(answer, book, reference))


def _ask_resolution(case: ResolverInput, backend: Backend, book: Book) -> Judged[Resolution]:
    answer = backend.resolve(case)
    reference = answer if backend.is_reference else resolve(case, book)
    return Judged(answer, check_resolution(answer, book, reference, case.ftd_qty))
