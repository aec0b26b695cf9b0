"""The page of one fail: what to do, why, by when, what it rests on, and what people decided."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain.enums import Action, SettlementType, StepAction, Tier
from finops_cli.domain.finding import Problem
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.service.desk.fail.decision_form import (
    StepRow,
    TypedForm,
    has_other_steps,
    list_step_rows,
)
from finops_cli.service.desk.fail.record import read_record
from finops_cli.service.desk.fail.related import MOST_QUEUE, find_related, read_pool
from finops_cli.service.desk.fail.values import FailPage, FailSources, make_fail_page
from finops_cli.service.desk.forms import make_form_key
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.views import PastAnswer, locate_fail, view_fail
from finops_cli.service.problems import not_found
from finops_cli.service.requests import actor_of, facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import (
    Decision,
    is_same_person,
    list_assignees,
    list_decisions,
    read_state,
)
from finops_cli.service.store.fails import (
    FailRow,
    PoolLine,
    find_pool_lines,
    read_fail_line,
    same_fail,
)
from finops_cli.service.store.files import read_file
from finops_cli.service.store.jobs import read_job
from finops_cli.views.wording import clean

TIERS = tuple(reversed(get_args(Tier)))


class Proposal(Struct, frozen=True):
    """An override that waits for a second person."""

    decision: Decision
    is_own: bool
    """Its author cannot accept it."""


class DecisionForms(Struct, frozen=True, kw_only=True):
    """The values of the forms."""

    may_decide: bool
    may_delete: bool
    """A person with the right may take a decision away for good."""
    person: str
    key: str
    """Sent with a form, so that a form that is sent twice is worked on once."""
    version: int
    four_eyes: bool
    typed: TypedForm | None
    """The input of the person, if it had faults."""
    problem: str | None
    broken: list[Problem]
    """The rules that the override breaks, to be ticked one by one."""
    proposals: list[Proposal]
    steps: Sequence[StepRow]
    has_other_steps: bool
    """The typed steps are not those of the plan."""
    tiers: tuple[str, ...] = TIERS
    actions: tuple[str, ...] = get_args(Action)
    step_actions: tuple[str, ...] = get_args(StepAction)
    settlement_types: tuple[str, ...] = get_args(SettlementType)


class Found(NamedTuple):
    """The rows of the database that a page is made from."""

    row: FailRow
    sources: FailSources
    pool: list[PoolLine]
    assignees: list[str]


class FailPages:
    """Shows fails; other pages, which decide about one, show it again with what was wrong."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @property
    def kb(self) -> KnowledgeBase:
        """The rules of the service."""
        return self.parts.answering.kb

    async def fail(self, request: Request) -> Response:
        """Show one fail; the audit log records the view. Raises ServiceError 404."""
        require_right(request, "see")
        found = await self.find(request.path_params["id"])
        actor, at = actor_of(request), self.parts.now()
        await self.parts.database.write(lambda db: append(db, at, actor, "view", found.row.id, {}))
        return await self.show(request, found)

    async def find(self, id: str) -> Found:
        """Find a fail and what belongs to it. Raises ServiceError 404."""
        return await self.parts.database.read(lambda db: _find(db, id))

    async def show(
        self,
        request: Request,
        found: Found,
        *,
        status: int = 200,
        typed: TypedForm | None = None,
        problem: str | None = None,
        broken: Sequence[Problem] = (),
    ) -> Response:
        """Render the page, with what was typed and what was wrong with it."""
        page = await asyncio.to_thread(read_page, self.parts.data, found, self.kb)
        forms = self.make_forms(request, page, typed, problem, broken)
        return render(
            request,
            "fail.html",
            status=status,
            page=page,
            forms=forms,
            people=await self.list_people(found),
        )

    async def list_people(self, found: Found) -> list[str]:
        """Return whom a fail can be assigned to: who may decide, and who got one before."""
        return sorted({*await self.parts.access.names_with("answer"), *found.assignees})

    def make_forms(
        self,
        request: Request,
        page: FailPage,
        typed: TypedForm | None = None,
        problem: str | None = None,
        broken: Sequence[Problem] = (),
    ) -> DecisionForms:
        """Return the values of the forms of a page."""
        facts, plan = facts_of(request), None if page.line is None else page.line.resolution
        steps: Sequence[StepRow] = () if plan is None else list_step_rows(plan)
        return DecisionForms(
            may_decide=facts.may("answer"),
            may_delete=facts.may("administer"),
            person=facts.name,
            key=make_form_key(),
            version=page.source.fail.state.version,
            four_eyes=self.parts.four_eyes,
            typed=typed,
            problem=problem,
            broken=[replace(each, message=clean(each.message)) for each in broken],
            proposals=[
                Proposal(each, is_same_person(each.person or each.by, facts.person or facts.name))
                for each in page.source.decisions
                if each.standing == "proposed"
            ],
            steps=typed.steps if typed is not None and typed.steps else steps,
            has_other_steps=typed is not None
            and plan is not None
            and has_other_steps(typed.steps, plan),
        )


def _find(connection: Connection, id: str) -> Found:
    row = locate_fail(connection, id)
    job = read_job(connection, row.job)
    if job is None:
        raise not_found(f"the job {row.job}")
    answer, pool = row.answer, []
    if answer.pool is not None and answer.of is not None and 1 < answer.of <= MOST_QUEUE:
        pool = find_pool_lines(connection, row.job, answer.pool, answer.of)
    sources = FailSources(
        fail=view_fail(row, read_state(connection, row.key)),
        job=job,
        file=read_file(connection, job.input),
        raw=None,
        given=None,
        related=find_related(connection, row),
        history=[
            PastAnswer(id=each.id, job=each.job, answer=each.answer)
            for each in same_fail(connection, row.key)
        ],
        decisions=list_decisions(connection, row.key),
    )
    return Found(row, sources, pool, list_assignees(connection))


def read_page(data: Path, found: Found, kb: KnowledgeBase) -> FailPage:
    """Read the line, its record and its queue from the disk; return the values of the page."""
    row = found.row
    read: dict[str, Any] = {}
    try:
        read["raw"] = read_fail_line(data, row).rstrip(b"\n") or None
        if found.pool and row.answer.pool is not None:
            read["queue"] = read_pool(data, row.job, row.answer.pool, found.pool)
            read["queue_ids"] = {each.fail_id: each.id for each in found.pool}
    except FileNotFoundError:
        read = {}
    read["given"] = read_record(data, found.sources.job, row.place.line, row.answer.fail_id, kb)
    return make_fail_page(replace(found.sources, **read), kb)


def list_fail_routes(pages: FailPages) -> list[NamedRoute]:
    """Return the route of the page."""
    return [NamedRoute("/fails/{id}", pages.fail)]
