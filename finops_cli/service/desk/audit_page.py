"""The page of the audit log: who did what, filtered, and whether the log is unbroken."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import wrong_value
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.audit import (
    AuditEntry,
    BrokenChain,
    EntryFilter,
    find_entries,
)
from finops_cli.views.wording import clean

_PAGE = 100
_MOST_CHARACTERS = 200
_MOST_DIGITS = 15
ACTIONS: dict[str, str] = {
    "login": "signed in",
    "add-token": "added a token",
    "revoke-token": "revoked a token",
    "denied": "was refused",
    "view": "looked at a fail",
    "decision": "decided about a fail",
    "delete_decision": "deleted a decision",
    "upload": "uploaded a file",
    "job": "began a job",
    "cancel": "stopped a job",
    "resume": "went on with a job",
    "job_completed": "job ended",
    "job_failed": "job failed",
    "job_cancelled": "job was stopped",
    "download": "fetched an output",
    "export": "exported fails",
    "delete": "deleted a file or a job",
    "expire": "deleted what was too old",
    "baseline": "set the baseline of drift",
    "reload": "loaded a model again",
    "start": "service began",
    "stop": "service ended",
}
"""The usual actions, in words."""


class EntryView(NamedTuple):
    """An entry as the page shows it."""

    entry: AuditEntry
    said: str
    link: str | None
    """The fail or the job that the entry is about."""
    details: str


def view_entry(entry: AuditEntry) -> EntryView:
    """Return the values of a row."""
    subject = entry.subject
    link = None
    if subject.startswith("job-"):
        link = f"/fails/{subject}" if "." in subject else f"/jobs/{subject}"
    details = json.dumps(entry.details, ensure_ascii=False) if entry.details else ""
    return EntryView(entry, ACTIONS.get(entry.action, ""), link, clean(details))


def read_filter(request: Request) -> EntryFilter:
    """Read the filter of the page; longer texts are cut."""
    texts = {
        name: request.query_params.get(name, "").strip()[:_MOST_CHARACTERS].replace("\0", "")
        for name in EntryFilter._fields
    }
    return EntryFilter(**texts)


class AuditPages:
    """Answers `/audit`."""

    def __init__(self, parts: Parts) -> None:
        self._database, self._chain = parts.database, parts.audit.chain

    async def audit(self, request: Request) -> Response:
        """Show entries, the newest first; with `verify`, check the whole chain too."""
        require_right(request, "audit")
        wanted, before = read_filter(request), _read_before(request)
        found = await self._database.read(lambda db: find_entries(db, wanted, before, _PAGE + 1))
        chain = await self._chain.verify() if "verify" in request.query_params else None
        given = {name: value for name, value in wanted._asdict().items() if value}
        older = None
        if len(found) > _PAGE:
            older = "/audit?" + urlencode({**given, "before": found[_PAGE - 1].seq})
        values: dict[str, Any] = {
            "entries": [view_entry(each) for each in found[:_PAGE]],
            "wanted": wanted,
            "given": given,
            "older": older,
            "actions": ACTIONS,
            "is_checked": chain is not None,
            "broken": chain if isinstance(chain, BrokenChain) else None,
            "checked": chain if isinstance(chain, int) else 0,
        }
        return render(request, "audit.html", **values)


def _read_before(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise wrong_value("before", text[:_MOST_CHARACTERS], "the number of an entry")
    return int(text)


def list_audit_routes(parts: Parts) -> list[NamedRoute]:
    """Return the route of the page of the audit log."""
    return [NamedRoute("/audit", AuditPages(parts).audit)]
