"""Makes decisions: reads them, masks their words, and holds an override against the rules."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, cast

import msgspec
from msgspec import Struct

from finops_cli.checking.other_rules import RuleSets
from finops_cli.checking.outputs import check_lines
from finops_cli.domain import exact_json
from finops_cli.domain.enums import Action, Tier
from finops_cli.domain.finding import Finding, Problem
from finops_cli.pipeline.redaction import RedactionPolicy
from finops_cli.service.fails.views import describe_state, locate_fail
from finops_cli.service.problems import ServiceError, not_found, wrong_value
from finops_cli.service.store.audit import Actor, append
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import (
    Change,
    Content,
    Decision,
    Kind,
    NewDecision,
    NoProposal,
    State,
    VersionConflict,
    decide,
    delete_decision,
)
from finops_cli.service.store.fails import FailRow
from finops_cli.verify.schemas import show_value
from finops_cli.views.wording import clean

_MOST_CHARACTERS = 4_000
_MOST_NAME = 100
_MOST_STEPS = 100
_WITH_TEXTS = (str, list, dict)
"""The values of a step that the guard reads; its numbers are shares and percentages."""
_SENTENCES = "text."
"""The rules about sentences: those of the line are the engine's, and no override changes them."""
_SHAPES = "schema."
"""The rules about the shape of a line: what breaks one is checked no further."""
_NEEDED: dict[str, tuple[str, ...]] = {
    "override": ("reason",),
    "comment": ("comment",),
    "decline": ("of", "reason"),
}
"""The fields that a kind of decision cannot do without."""
_ABOUT_PROPOSALS = frozenset({"accept", "decline"})
"""The kinds of decision that answer the proposal of another person."""


class DecisionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/fails/{id}/decisions`."""

    kind: Kind
    reason: str | None = None
    """Why; an override and a decline need it."""
    comment: str | None = None
    assignee: str | None = None
    """The person or program that takes the fail; null takes it away from its assignee."""
    tier: Tier | None = None
    action: Action | None = None
    steps: list[dict[str, Any]] | None = None
    """The steps of another plan."""
    acknowledge: list[str] = []
    """The rules that the override breaks, each of them ticked."""
    of: int | None = None
    """The number of a proposal, to accept or decline it."""
    expected_version: int | None = None
    """The version that was looked at: another one in the meantime gives 409."""


class DecisionAnswer(Struct, frozen=True, kw_only=True):
    """What was decided, and what stands now."""

    decision: Decision
    state: State


def read_content(
    asked: DecisionRequest, line: bytes, rules: RuleSets, redaction: RedactionPolicy | None
) -> Content:
    """Return the words and values of a decision, without personal data.

    Raises ServiceError 422 for a decision that lacks something, and for an override that breaks
    rules which nobody ticked.
    """
    for name in _NEEDED.get(asked.kind, ()):
        value = getattr(asked, name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise wrong_value(name, "missing", f"a value, for the kind {asked.kind}")
    if asked.of is not None and asked.kind not in _ABOUT_PROPOSALS:
        raise wrong_value("of", f"{asked.of}", "nothing, for another kind than accept or decline")
    change = _read_change(asked, redaction)
    broken = () if change is None else _refuse_unticked(asked, change, line, rules)
    return Content(
        reason=_mask("reason", asked.reason, _MOST_CHARACTERS, redaction),
        comment=_mask("comment", asked.comment, _MOST_CHARACTERS, redaction),
        assignee=_mask("assignee", asked.assignee, _MOST_NAME, redaction),
        change=change,
        broken=broken,
        of=asked.of,
    )


def make_decision(
    connection: Connection,
    row: FailRow,
    asked: DecisionRequest,
    content: Content,
    actor: Actor,
    *,
    at: str,
    four_eyes: bool,
) -> tuple[DecisionAnswer, dict[str, Any]]:
    """Store a decision; return it with the details for the audit log.

    `four_eyes`: an override waits for a second person. Raises ServiceError 409 where somebody else
    decided in the meantime, or where there is no such proposal of another person.
    """
    new = NewDecision(
        kind=asked.kind,
        at=at,
        by=actor.who,
        person=actor.person,
        role=actor.role,
        request_id=actor.request_id,
        key=row.key,
        job=row.job,
        line=row.place.line,
        fail_id=row.answer.fail_id,
        content=content,
        is_proposal=four_eyes and asked.kind == "override",
        expected_version=asked.expected_version,
    )
    try:
        made, before, after = decide(connection, new)
    except VersionConflict as error:
        raise _conflict(error, "version") from error
    except NoProposal as error:
        raise ServiceError(HTTPStatus.CONFLICT, "proposal", f"{error}") from error
    details = {
        "kind": made.kind,
        "n": made.n,
        "standing": made.standing,
        "broken": list(content.broken),
        "before": describe_state(before),
        "after": describe_state(after),
    }
    return DecisionAnswer(decision=made, state=after), details


def record_decision(
    connection: Connection,
    row: FailRow,
    asked: DecisionRequest,
    content: Content,
    actor: Actor,
    *,
    at: datetime,
    four_eyes: bool,
) -> DecisionAnswer:
    """Store a decision and tell the audit log, in one transaction. Raises as `make_decision`."""
    answer, details = make_decision(
        connection, row, asked, content, actor, at=at.isoformat(), four_eyes=four_eyes
    )
    append(connection, at, actor, "decision", row.id, details)
    return answer


def find_broken_rules(line: bytes, change: Change, rules: RuleSets) -> list[Finding]:
    """Return the rules that the answer of an output line breaks when `change` is made to it.

    Rules that were kept judge the lines that they made. Where the line itself has a shape that the
    rules cannot read, nothing can be checked: that it breaks the schema is then what has to be
    ticked.

    Raises ServiceError 422 for a line without an answer, or without the plan that is changed.
    """
    given = exact_json.decode(line)
    triage, plan = given.get("triage"), given.get("resolution")
    if not isinstance(triage, dict):
        raise wrong_value("kind", "override", "another kind: the fail has no answer to override")
    if change.tier is not None:
        triage["priority_tier"] = change.tier
    if change.action is not None:
        triage["action"] = change.action
    if change.steps is not None:
        if not isinstance(plan, dict):
            raise wrong_value("steps", "given", "no steps: the fail has no plan")
        plan["resolution_steps"] = change.steps
    known = {_identify(each) for each in next(check_lines([line], rules)).findings}
    changed = next(check_lines([exact_json.encode(given)], rules)).findings
    return [
        each
        for each in changed
        if (each.rule.startswith(_SHAPES) or _identify(each) not in known)
        and not each.rule.startswith(_SENTENCES)
    ]


def _identify(finding: Finding) -> tuple[str, str, str]:
    """Return what tells a finding from another; one about other rules counts in its message."""
    return finding.rule, finding.path, finding.message


def _read_change(asked: DecisionRequest, redaction: RedactionPolicy | None) -> Change | None:
    if asked.kind != "override":
        for name in ("tier", "action", "steps"):
            if getattr(asked, name) is not None:
                raise wrong_value(name, "given", "nothing, for another kind than override")
        return None
    if asked.tier is None and asked.action is None and asked.steps is None:
        raise wrong_value("tier", "missing", "a tier, an action or steps, for the kind override")
    steps = asked.steps
    if steps is not None and len(steps) > _MOST_STEPS:
        raise wrong_value("steps", f"{len(steps):,} steps", f"up to {_MOST_STEPS}")
    if steps is not None and redaction is not None:
        mask = redaction.open_mask()
        steps = [{name: mask.anything(value, name) if isinstance(value, _WITH_TEXTS) else value
                  for name, value in step.items()} for step in steps]  # fmt: skip
    return Change(tier=asked.tier, action=asked.action, steps=steps)


def _refuse_unticked(
    asked: DecisionRequest, change: Change, line: bytes, rules: RuleSets
) -> tuple[str, ...]:
    """Return the rules that the change breaks. Raises ServiceError 422 unless each is ticked."""
    found = find_broken_rules(line, change, rules)
    unticked = [each for each in found if each.rule not in asked.acknowledge]
    if unticked:
        names = ", ".join(sorted({each.rule for each in unticked}))
        raise ServiceError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "broken-rules",
            f"the override breaks {names}; accepted: an override that names them in `acknowledge`",
            problems=[_as_problem(each) for each in unticked],
        )
    return tuple(sorted({each.rule for each in found}))


def _as_problem(finding: Finding) -> Problem:
    return Problem(
        rule=finding.rule,
        path=finding.path,
        value=show_value(finding.actual),
        accepted=show_value(finding.expected),
        message=finding.message,
    )


def _conflict(error: VersionConflict, name: str) -> ServiceError:
    state = error.state
    said = "" if state.outcome is None else f": {state.outcome} by {state.decided_by}"
    return ServiceError(
        HTTPStatus.CONFLICT,
        name,
        f"{error}{said}; look at the fail again, and decide on its present version",
        present=cast("dict[str, Any]", msgspec.to_builtins(state)),
    )


def _mask(name: str, text: str | None, most: int, redaction: RedactionPolicy | None) -> str | None:
    if text is None:
        return None
    if len(text) > most:
        raise wrong_value(name, f"{len(text):,} characters", f"up to {most:,}")
    shown = clean(text)
    return shown if redaction is None else redaction.text(shown)[0]


def erase_decision(
    connection: Connection, id: str, number: str, actor: Actor, at: datetime
) -> None:
    """Delete a decision about a fail for good; the audit log keeps that it was there.

    Raises ServiceError 404 if the fail or the decision does not exist.
    """
    row = locate_fail(connection, id)
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    deleted = delete_decision(connection, row.key, int(number)) if is_number else None
    if deleted is None:
        raise not_found(f"decision {number[:20]} of {row.id}")
    details = {"n": deleted.n, "kind": deleted.kind, "by": deleted.by, "at": deleted.at}
    append(connection, at, actor, "delete_decision", row.id, details)
