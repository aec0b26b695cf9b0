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
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Backend, ModelStage
from finops_cli.pipeline.parse import parse_case, parse_case_line, parse_fail, parse_fail_line
from finops_cli.pipeline.redaction import Masks, RedactionPolicy, Take
from finops_cli.rules.handoff import case_not_resolved_because, handoff

Stage = Literal["run", "triage", "resolve"]


class StageOutcome(NamedTuple):
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


First = Callable[[bytes, Backend, KnowledgeBase, RedactionPolicy | None], StageOutcome]
Next = Callable[[StageOutcome, Backend, KnowledgeBase], StageOutcome]


def triage_stage(
    line: bytes, backend: Backend, kb: KnowledgeBase, screen: RedactionPolicy | None
) -> StageOutcome:
    """Stage 1 of a fail record."""
    fail, given_id, problems = parse_fail_line(line)
    if fail is None:
        return _rejected(line, given_id, problems, screen, parse_fail)
    masks = None
    if screen is not None:
        fail, masks = screen.fail(fail)
    return StageOutcome(given_id, fail.qty, backend.triage(fail), fail=fail, masks=masks)


def resolve_stage(outcome: StageOutcome, backend: Backend, kb: KnowledgeBase) -> StageOutcome:
    """Stage 2 of what stage 1 came to. A triage that does not stand is not handed on."""
    fail, first, masks = outcome.fail, outcome.triage, outcome.masks
    if fail is None or first is None:
        return outcome
    given_id, owed = outcome.given_id, outcome.owed
    if first.value is None:
        return StageOutcome(given_id, owed, first, skipped="the triage does not stand", masks=masks)
    case = handoff(fail, first.value, kb)
    if isinstance(case, str):
        return StageOutcome(given_id, owed, first, skipped=case, masks=masks)
    return StageOutcome(given_id, owed, first, backend.resolve(case), masks=masks)


def case_stage(
    line: bytes, backend: Backend, kb: KnowledgeBase, screen: RedactionPolicy | None
) -> StageOutcome:
    """Stage 2 alone, of a card-2 input object."""
    case, given_id, problems = parse_case_line(line, kb)
    if case is None:
        return _rejected(line, given_id, problems, screen, lambda given: parse_case(given, kb))
    masks = None
    if screen is not None:
        case, masks = screen.case(case)
    reason = case_not_resolved_because(case)
    if reason is not None:
        return StageOutcome(given_id, case.ftd_qty, skipped=reason, masks=masks)
    return StageOutcome(given_id, case.ftd_qty, resolution=backend.resolve(case), masks=masks)


def _rejected(
    line: bytes,
    given_id: str | None,
    problems: list[Problem],
    screen: RedactionPolicy | None,
    take: Take,
) -> StageOutcome:
    if screen is None:
        return StageOutcome(given_id, problems=problems)
    shown, masks = screen.redact_problems(line, given_id, problems, take)
    return StageOutcome(given_id, problems=shown, masks=masks)


class StageSequence(NamedTuple):
    """The stations of a command, and the model that each of them asks."""

    first: First
    then: Next | None
    models: tuple[ModelStage, ...]


STAGE_SEQUENCES: dict[Stage, StageSequence] = {
    "run": StageSequence(triage_stage, resolve_stage, ("triage", "resolver")),
    "triage": StageSequence(triage_stage, None, ("triage",)),
    "resolve": StageSequence(case_stage, None, ("resolver",)),
}
