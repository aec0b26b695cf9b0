"""The pages that say what a problem means and what to do. They need no token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from finops_cli.service.desk.reference.problem_texts import PROBLEMS
from finops_cli.service.desk.rendering import render
from finops_cli.service.problems import not_found
from finops_cli.service.routes import NamedRoute


async def _show(request: Request) -> Response:
    """Show one problem. Raises ServiceError 404."""
    name: str = request.path_params["name"]
    if name not in PROBLEMS:
        raise not_found(f"the problem {name[:80]} (there are {', '.join(PROBLEMS)})")
    return render(request, "problem.html", name=name, problem=PROBLEMS[name])


def list_problem_routes() -> list[NamedRoute]:
    """Return the route of the problems."""
    return [NamedRoute("/problems/{name}", _show)]
