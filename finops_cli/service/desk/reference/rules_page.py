"""The pages of the rules: found by words, each with its source, its numbers and its reason."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.kb import entries as kinds
from finops_cli.kb.bands import label_bands
from finops_cli.kb.entries import AnyEntry
from finops_cli.kb.search import search
from finops_cli.service.desk.reference.marked_text import Block, read_blocks
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import not_found
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute

_MOST_CHARACTERS = 200
_LAW = {
    "citation": "Provision",
    "confidence": "Confidence",
    "evidence": "Evidence",
    "effective_from": "In force from",
    "effective_to": "In force until",
}


class Chapter(Struct, frozen=True, kw_only=True):
    """Rules whose ids begin with the same word."""

    name: str
    entries: tuple[AnyEntry, ...]


class RuleView(Struct, frozen=True, kw_only=True):
    """A rule as its page shows it."""

    entry: AnyEntry
    sources: tuple[tuple[str, str | None], ...]
    """Each source, and the rule that explains it."""
    is_decision: bool
    blocks: list[Block]
    values: tuple[tuple[str, str], ...]
    """Names and values: the numbers of the rule."""
    unit: str
    law: tuple[tuple[str, str], ...]
    differs: tuple[str, ...]
    links: tuple[str, ...]


def list_chapters(entries: Mapping[str, AnyEntry]) -> list[Chapter]:
    """Return all rules by the first word of their ids."""
    found: dict[str, list[AnyEntry]] = {}
    for entry in entries.values():
        found.setdefault(entry.id.partition(".")[0], []).append(entry)
    return [Chapter(name=name, entries=tuple(each)) for name, each in found.items()]


def view_rule(entry: AnyEntry, entries: Mapping[str, AnyEntry]) -> RuleView:
    """Return the values of the page of a rule."""
    names = entry.source.split(", ")
    law = [(title, getattr(entry, name)) for name, title in _LAW.items()]
    others = entry.differs if isinstance(entry, kinds.Regulation | kinds.Source) else []
    return RuleView(
        entry=entry,
        sources=tuple((name, name if name in entries else None) for name in names),
        is_decision="decision" in names and not isinstance(entry, kinds.Source),
        blocks=read_blocks(entry.text, entries.keys()),
        values=tuple(_list_values(entry)),
        unit=getattr(entry, "unit", ""),
        law=tuple((title, value) for title, value in law if value),
        differs=tuple(others),
        links=tuple(entry.links) if isinstance(entry, kinds.Source) else (),
    )


def _list_values(entry: AnyEntry) -> list[tuple[str, str]]:
    """Return the numbers or words of a rule, each with its name."""
    if isinstance(entry, kinds.Bands):
        labels = label_bands(entry)
        return [(label, str(row.value)) for label, row in zip(labels, entry.rows, strict=True)]
    if isinstance(entry, kinds.Lookup | kinds.Terms):
        return [(name, str(value)) for name, value in entry.members.items()]
    if isinstance(entry, kinds.Number):
        return [("Value", f"{entry.value:,} {entry.unit}".strip())]
    if isinstance(entry, kinds.Choice):
        return [("Value", entry.value)]
    if isinstance(entry, kinds.Switch):
        return [("Value", "on" if entry.value else "off")]
    if isinstance(entry, kinds.Quantiles):
        return [("Points", ", ".join(map(str, entry.points)))]
    return []


class RulePages:
    """Answers `/rules` and the paths below it."""

    def __init__(self, parts: Parts) -> None:
        self._kb = parts.answering.kb
        self._chapters = list_chapters(dict(self._kb.entries))

    async def rules(self, request: Request) -> Response:
        """List the rules by chapter, or those that the words find, the best first."""
        require_right(request, "see")
        words = request.query_params.get("q", "").strip()[:_MOST_CHARACTERS]
        found = search(dict(self._kb.entries), words) if words else None
        return render(
            request,
            "rules.html",
            words=words,
            found=found,
            chapters=self._chapters,
            total=len(self._kb.entries),
            version_of_rules=self._kb.version,
        )

    async def rule(self, request: Request) -> Response:
        """Show one rule. Raises ServiceError 404."""
        require_right(request, "see")
        id: str = request.path_params["id"]
        entries = dict(self._kb.entries)
        if id not in entries:
            raise not_found(f"the rule {id[:_MOST_CHARACTERS]}")
        return render(request, "rule.html", view=view_rule(entries[id], entries))


def list_rule_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the pages of the rules."""
    pages = RulePages(parts)
    return [NamedRoute("/rules", pages.rules), NamedRoute("/rules/{id}", pages.rule)]
