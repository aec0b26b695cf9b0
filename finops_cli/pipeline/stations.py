"""The stations of the desk: a line becomes a question, a question is answered, a triage is handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.protocol import Answer, Backend, ModelStage
from finops_cli.pipeline.intake import take_case, take_fail
from finops_cli.rules.handoff import case_not_resolved_because, handoff

Stage = Literal["run", "triage", "resolve"]


class Outcome(NamedTuple):
    """What one input line came to. `problems` say why it could not be used; `owed` is in shares; `fail` waits for stage 2."""

    given_id: str | None
    owed: int = 0
    triage: Answer[Triage] | None = None
    resolution: Answer[Resolution] | None = None
    skipped: str | None = None
    problems: list[Problem] | None = None
    fail: FailRecord | None = None


First = Callable[[bytes, Backend, Book], Outcome]
Next = Callable[[Outcome, Backend, Book], Outcome]


def triage_station(line: bytes, backend: Backend, book: Book) -> Outcome:
    """Stage 1 of a fail record."""
    fail, given_id, problems = take_fail(line)
    if fail is None:
        return Outcome(given_id, problems=problems)
    return Outcome(given_id, fail.qty, backend.triage(fail), fail=fail)


def resolve_station(outcome: Outcome, backend: Backend, book: Book) -> Outcome:
    """Stage 2 of what stage 1 came to. A triage that does not stand is not handed on."""
    given_id, owed, first, _, _, _, fail = outcome
    if fail is None or first is None:
        return outcome
    if first.value is None:
        return Outcome(given_id, owed, first, skipped="the triage does not stand")
    case = handoff(fail, first.value, book)
    if isinstance(case, str):
        return Outcome(given_id, owed, first, skipped=case)
    return Outcome(given_id, owed, first, backend.resolve(case))


def case_station(line: bytes, backend: Backend, book: Book) -> Outcome:
    """Stage 2 alone, of a card-2 input object."""
    case, given_id, problems = take_case(line, book)
    if case is None:
        return Outcome(given_id, problems=problems)
    reason = case_not_resolved_because(case)
    if reason is not None:
        return Outcome(given_id, case.ftd_qty, skipped=reason)
    return Outcome(given_id, case.ftd_qty, resolution=backend.resolve(case))


class Course(NamedTuple):
    """The stations of a command, and the model that each of them asks."""

    first: First
    then: Next | None
    models: tuple[ModelStage, ...]


STATIONS: dict[Stage, Course] = {
    "run": Course(triage_station, resolve_station, ("triage", "resolver")),
    "triage": Course(triage_station, None, ("triage",)),
    "resolve": Course(case_station, None, ("resolver",)),
}
