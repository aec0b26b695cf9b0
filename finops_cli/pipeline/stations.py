"""The stations of the desk: a line becomes a question, a question is answered, a triage is handed
on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.protocol import Answer, Backend, ModelStage
from finops_cli.pipeline.faults import Take
from finops_cli.pipeline.intake import case_from, fail_from, take_case, take_fail
from finops_cli.pipeline.screens import Masks, Screen
from finops_cli.rules.handoff import case_not_resolved_because, handoff

Stage = Literal["run", "triage", "resolve"]


class Outcome(NamedTuple):
    """What one input line came to.

    `problems` say why it could not be used; `owed` is in shares; `fail` waits for stage 2; `masks`:
    what a guard masked in it.
    """

    given_id: str | None
    owed: int = 0
    triage: Answer[Triage] | None = None
    resolution: Answer[Resolution] | None = None
    skipped: str | None = None
    problems: list[Problem] | None = None
    fail: FailRecord | None = None
    masks: Masks | None = None


First = Callable[[bytes, Backend, Book, Screen | None], Outcome]
Next = Callable[[Outcome, Backend, Book], Outcome]


def triage_station(line: bytes, backend: Backend, book: Book, screen: Screen | None) -> Outcome:
    """Stage 1 of a fail record."""
    fail, given_id, problems = take_fail(line)
    if fail is None:
        return _rejected(line, given_id, problems, screen, fail_from)
    masks = None
    if screen is not None:
        fail, masks = screen.fail(fail)
    return Outcome(given_id, fail.qty, backend.triage(fail), fail=fail, masks=masks)


def resolve_station(outcome: Outcome, backend: Backend, book: Book) -> Outcome:
    """Stage 2 of what stage 1 came to. A triage that does not stand is not handed on."""
    fail, first, masks = outcome.fail, outcome.triage, outcome.masks
    if fail is None or first is None:
        return outcome
    given_id, owed = outcome.given_id, outcome.owed
    if first.value is None:
        return Outcome(given_id, owed, first, skipped="the triage does not stand", masks=masks)
    case = handoff(fail, first.value, book)
    if isinstance(case, str):
        return Outcome(given_id, owed, first, skipped=case, masks=masks)
    return Outcome(given_id, owed, first, backend.resolve(case), masks=masks)


def case_station(line: bytes, backend: Backend, book: Book, screen: Screen | None) -> Outcome:
    """Stage 2 alone, of a card-2 input object."""
    case, given_id, problems = take_case(line, book)
    if case is None:
        return _rejected(line, given_id, problems, screen, lambda given: case_from(given, book))
    masks = None
    if screen is not None:
        case, masks = screen.case(case)
    reason = case_not_resolved_because(case)
    if reason is not None:
        return Outcome(given_id, case.ftd_qty, skipped=reason, masks=masks)
    return Outcome(given_id, case.ftd_qty, resolution=backend.resolve(case), masks=masks)


def _rejected(
    line: bytes, given_id: str | None, problems: list[Problem], screen: Screen | None, take: Take
) -> Outcome:
    if screen is None:
        return Outcome(given_id, problems=problems)
    shown, masks = screen.quoted(line, given_id, problems, take)
    return Outcome(given_id, problems=shown, masks=masks)


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
