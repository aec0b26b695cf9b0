"""`POST /v1/net`: the best set of legs that settles, or the proof that none does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.importers.net_files import Taken, take_balances, take_legs
from finops_cli.importers.row_files import GivenRow
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.answers import NetAnswer
from finops_cli.net.legs import Balance, Leg, Mode, Objective
from finops_cli.net.solve import open_net, solve_net
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.bodies import JSON, read_object

T = TypeVar("T", bound=Struct)


class NetRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a request: legs, what the accounts hold, and what the set maximises."""

    legs: list[Leg]
    balances: list[Balance] = []
    mode: Mode = "whole"
    objective: Objective | None = None
    """Null: as the rules say (kb: `net.objective`)."""
    own: str | None = None
    """The party whose view the legs are; null: everybody's."""


class _Body(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body before its rows are read, so that each fault can be named."""

    legs: list[dict[str, Any]]
    balances: list[dict[str, Any]] = []
    mode: Mode = "whole"
    objective: Objective | None = None
    own: str | None = None


class NetEndpoint:
    """Answers `POST /v1/net`. One net is solved at a time; the others wait for it."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer one request. Raises ServiceError 422 that lists the faults of the rows."""
        require_right(request, "answer")
        limits = self._kb.serve.limits
        body, _ = await read_object(request, _Body, limits["array_bytes"])
        most = limits["array_records"]
        if len(body.legs) > most:
            raise ServiceError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"the net has {len(body.legs):,} legs; accepted: up to {most:,}",
            )
        legs = _take(body.legs, take_legs, "legs")
        balances = _take(body.balances, take_balances, "balances")
        if not legs:
            raise _unusable("legs is empty; accepted: one leg or more")
        async with self._turn:
            answer = await asyncio.to_thread(self._solve, body, legs, balances)
        return Response(exact_json.encode(answer), media_type=JSON)

    def _solve(self, body: _Body, legs: list[Leg], balances: list[Balance]) -> NetAnswer:
        chosen = body.objective or self._kb.net.objective
        objective: Objective = "count" if chosen == "count" else "value"
        if body.own is not None and not any(body.own in (one.giver, one.taker) for one in legs):
            raise _unusable(f"own is {body.own[:80]}; accepted: a party of the legs")
        try:
            net = open_net(legs, balances, body.mode)
            return solve_net(net, body.mode, objective, self._kb.net, body.own).answer
        except MissingPiece as error:
            raise ServiceError(
                HTTPStatus.NOT_IMPLEMENTED, "not-installed", error.one_line()
            ) from error
        except UsageError as error:
            raise _unusable(error.one_line()) from error


def _take(
    given: list[dict[str, Any]], take: Callable[[list[GivenRow]], Taken[T]], name: str
) -> list[T]:
    taken = take([GivenRow(place, fields, []) for place, fields in enumerate(given)])
    if taken.problems:
        problems = [
            type(problem)(
                rule=problem.rule,
                path=f"/{name}/{place}{problem.path}",
                value=problem.value,
                accepted=problem.accepted,
                message=f"{name} {place}: {problem.message}",
            )
            for place, found in taken.problems
            for problem in found
        ]
        raise ServiceError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "record",
            "; ".join(problem.message for problem in problems[:5]),
            problems=problems,
        )
    return taken.values


def _unusable(what: str) -> ServiceError:
    return ServiceError(HTTPStatus.UNPROCESSABLE_ENTITY, "wrong-value", what)
