"""The pages of the desk: each row of the list is the routes of one of them."""

from __future__ import annotations

from finops_cli.service.desk.rendering import DeskState
from finops_cli.service.desk.sign_in import SignInPages, list_sign_in_routes
from finops_cli.service.desk.static_files import list_static_routes
from finops_cli.service.desk.today import list_today_routes
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute


def list_pages(parts: Parts) -> list[NamedRoute]:
    """Return every route of the desk."""
    sign_in = SignInPages(parts)
    return [
        *list_static_routes(),
        *list_sign_in_routes(sign_in),
        *list_today_routes(parts, sign_in),
    ]


def desk_state(parts: Parts, routes: list[NamedRoute]) -> DeskState:
    """Return what every page says about the service."""
    return DeskState(
        has_guard=parts.answering.redaction is not None,
        paths=frozenset(route.path for route in routes),
    )
