"""The page of help: keys, statuses, tiers, flags, roles, and the words of the trade."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.kb.entries import Terms
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.service.auth.roles import RIGHTS, ROLES, Right
from finops_cli.service.desk.reference.marked_text import Span, read_spans
from finops_cli.service.desk.reference.problem_texts import PROBLEMS
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.wording import write_label
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute

_SECTIONS = {
    "enum.status": "Statuses: what became of a record",
    "enum.tier": "Tiers: how urgent a fail is",
    "enum.category": "Categories: what kind of fail it is",
    "enum.action": "Actions: what to do first",
    "enum.flag": "Flags: what to know about it",
    "enum.escalation_level": "Escalation levels",
    "glossary": "Words of the trade",
}
"""The lists of words that the page shows, with the heading of each."""
_RIGHTS: dict[Right, str] = {
    "see": "see everything but the audit log",
    "answer": "decide about fails, and send records",
    "operate": "upload files, run jobs, manage models",
    "audit": "read the audit log",
    "administer": "delete",
}


class WordList(Struct, frozen=True, kw_only=True):
    """Words with their meanings."""

    id: str
    title: str
    words: tuple[tuple[str, str, list[Span]], ...]
    """Each as people say it, as the records write it, and its meaning."""


def list_words(kb: KnowledgeBase) -> list[WordList]:
    """Return the lists of words of the rules that a person meets on the pages."""
    entries = dict(kb.entries)
    return [
        WordList(
            id=id,
            title=title,
            words=tuple(
                (write_label(word) if "_" in word else word, word, read_spans(meaning, entries))
                for word, meaning in entry.members.items()
            ),
        )
        for id, title in _SECTIONS.items()
        if isinstance(entry := entries.get(id), Terms)
    ]


def list_roles() -> list[tuple[str, str]]:
    """Return each role, and what it may do in words."""
    return [
        (role, ", ".join(words for right, words in _RIGHTS.items() if right in RIGHTS[role]))
        for role in ROLES
    ]


class HelpPage:
    """Answers `/help`."""

    def __init__(self, parts: Parts) -> None:
        self._words = list_words(parts.answering.kb)

    async def show(self, request: Request) -> Response:
        """Show the page."""
        require_right(request, "see")
        return render(
            request, "help.html", lists=self._words, roles=list_roles(), problems=PROBLEMS
        )


def list_help_routes(parts: Parts) -> list[NamedRoute]:
    """Return the route of the page of help."""
    return [NamedRoute("/help", HelpPage(parts).show)]
