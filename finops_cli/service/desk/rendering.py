"""Renders the templates of the desk. Whatever a record says is escaped; nothing is marked as safe.

The one exception is `render_svg` of `_macros.html`, for drawings that our own code makes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from finops_cli.service.auth.roles import Right
from finops_cli.service.desk import wording
from finops_cli.service.desk.static_files import static_url
from finops_cli.service.requests import RequestFacts, facts_of
from finops_cli.service.store.decisions import is_same_person
from finops_cli.version import __version__

TEMPLATES = Path(__file__).parent / "templates"
THEME_COOKIE = "finops-theme"
KEYS_COOKIE = "finops-keys"
THEMES = ("light", "dark")
"""The values of the switch; without one the page follows the system."""
_STEERING = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that nobody sees and that change what others see: one of them can turn the rest of a
line around, so that a name reads as another one.
"""
NOTICES = {
    "signed-out": "You are signed out.",
    "not-stored": "Your session had ended, so what you sent was not stored. Sign in, and send it"
    " again.",
    "assigned": "The fails are assigned.",
    "accepted": "The answers of the selected fails are accepted.",
    "decided-accept": "The answer is accepted.",
    "decided-override": "The override is stored.",
    "decided-assign": "The assignment is stored.",
    "decided-comment": "The comment is stored.",
    "decided-close": "The fail is closed.",
    "decided-reopen": "The fail is open again.",
    "decided-decline": "The proposal is declined.",
    "decision-deleted": "The decision is deleted. What stood before it stands again.",
    "model-reloaded": "The model is loaded again.",
    "view-saved": "The view is saved.",
    "view-deleted": "The view is deleted.",
}
"""The notices of the parameter `said` of a page, after a form was processed."""
_WARNINGS = frozenset({"not-stored"})
"""The notices that something did not happen."""


class NavigationEntry(NamedTuple):
    """A link to a page, for those who have the right."""

    path: str
    label: str
    right: Right
    keys: str
    """The keys that lead there."""


NAVIGATION = (
    NavigationEntry("/", "Today", "see", "g t"),
    NavigationEntry("/fails", "Queue", "see", "g q"),
    NavigationEntry("/upload", "Upload", "operate", "g u"),
    NavigationEntry("/jobs", "Jobs", "see", "g j"),
    NavigationEntry("/export", "Export", "see", "g e"),
    NavigationEntry("/rules", "Rules", "see", "g r"),
    NavigationEntry("/monitor", "Monitor", "see", "g m"),
    NavigationEntry("/audit", "Audit", "audit", "g a"),
    NavigationEntry("/help", "Help", "see", "g h"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskState:
    """The facts about the service that every page shows."""

    has_guard: bool
    """False: nobody reads free texts for personal data, and every page says so."""
    paths: frozenset[str]
    """The pages that exist."""


def render(
    request: HTTPConnection, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Render a page with its values. The doors add the security headers."""
    return HTMLResponse(render_text(request, template, **values), status)


def render_text(request: HTTPConnection, template: str, **values: Any) -> str:
    """Render a template, a page or a part of one."""
    return environment().get_template(template).render(**_shared_values(request), **values)


@cache
def environment() -> Environment:
    """Return the templates, the filters and the functions that they use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=show_steering,
    )
    made.filters.update(
        label=wording.write_label,
        whole=wording.write_whole,
        money=wording.write_money,
        short_money=wording.write_short_money,
        score=wording.write_score,
        days=wording.write_days,
        day=wording.write_date,
        moment=wording.write_time,
    )
    made.tests["urgent"] = wording.is_urgent
    made.globals.update(
        static=static_url,
        version=__version__,
        nothing=wording.NOTHING,
        plural=wording.write_plural,
        tier_levels=wording.TIER_LEVELS,
        is_same_person=is_same_person,
    )
    return made


def show_steering(value: Any) -> Any:
    """Return a value for a page: a text with its steering characters written out, as `\\u202e`."""
    if type(value) is not str or value.isprintable():
        return value
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], value)


def list_navigation(facts: RequestFacts, state: DeskState | None) -> list[NavigationEntry]:
    """Return the pages that exist and that the person may see."""
    if state is None:
        return []
    return [each for each in NAVIGATION if each.path in state.paths and facts.may(each.right)]


def _shared_values(request: HTTPConnection) -> dict[str, Any]:
    """Return the values that the frame of a page needs, whichever page it is."""
    facts = facts_of(request)
    app = request.scope.get("app")  # a door that refuses a request has none
    state: DeskState | None = None if app is None else app.state.desk
    theme = request.cookies.get(THEME_COOKIE)
    query = request.url.query
    said = request.query_params.get("said", "")
    return {
        "me": facts,
        "navigation": list_navigation(facts, state),
        "here": request.url.path,
        "full_path": request.url.path + (f"?{query}" if query else ""),
        "theme": theme if theme in THEMES else "auto",
        "keys_off": request.cookies.get(KEYS_COOKIE) == "off",
        "is_unguarded": state is not None and not state.has_guard,
        "notice": NOTICES.get(said),
        "is_warning": said in _WARNINGS,
    }
