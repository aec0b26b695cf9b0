"""The pages of the desk: each row of the list is the routes of one of them."""

from __future__ import annotations

from finops_cli.service.desk.audit_page import list_audit_routes
from finops_cli.service.desk.decide import list_decide_routes
from finops_cli.service.desk.exports_page import list_export_routes
from finops_cli.service.desk.fail_page import FailPages, list_fail_routes
from finops_cli.service.desk.jobs_page import list_job_routes
from finops_cli.service.desk.monitor_page import list_monitor_routes
from finops_cli.service.desk.pool_page import list_pool_routes
from finops_cli.service.desk.queue_actions import list_action_routes
from finops_cli.service.desk.queue_page import list_queue_routes
from finops_cli.service.desk.reference.api_page import list_api_routes
from finops_cli.service.desk.reference.help_page import list_help_routes
from finops_cli.service.desk.reference.problems_page import list_problem_routes
from finops_cli.service.desk.reference.rules_page import list_rule_routes
from finops_cli.service.desk.rendering import DeskState
from finops_cli.service.desk.sign_in import SignInPages, list_sign_in_routes
from finops_cli.service.desk.static_files import list_static_routes
from finops_cli.service.desk.today import list_today_routes
from finops_cli.service.desk.upload.upload_page import list_upload_routes
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute


def list_pages(parts: Parts) -> list[NamedRoute]:
    """Return every route of the desk."""
    sign_in, fails = SignInPages(parts), FailPages(parts)
    return [
        *list_static_routes(),
        *list_sign_in_routes(sign_in),
        *list_today_routes(parts, sign_in),
        *list_fail_routes(fails),
        *list_decide_routes(fails),
        *list_pool_routes(parts),
        *list_upload_routes(parts),
        *list_job_routes(parts),
        *list_export_routes(parts),
        *list_rule_routes(parts),
        *list_monitor_routes(parts),
        *list_audit_routes(parts),
        *list_help_routes(parts),
        *list_problem_routes(),
        *list_api_routes(parts),
        *list_queue_routes(parts),
        *list_action_routes(parts),
    ]


def desk_state(parts: Parts, routes: list[NamedRoute]) -> DeskState:
    """Return what every page says about the service."""
    return DeskState(
        has_guard=parts.answering.redaction is not None,
        paths=frozenset(route.path for route in routes),
    )
