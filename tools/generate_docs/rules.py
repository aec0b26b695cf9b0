"""The page of all entries of the knowledge base."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from finops_cli.kb import entries
from finops_cli.kb.bands import label_bands
from finops_cli.kb.load import bundled_kb_dir, load_kb

CHAPTERS = {
    "sources": "Sources",
    "input": "The facts of a record",
    "scoring": "Score and tier",
    "classification": "Category, flags, action, deadline",
    "reg-sho": "Reg SHO",
    "regulatory-clock": "The close-out clock",
    "calendar": "The market calendar",
    "handoff": "From triage to resolution",
    "waterfall": "The waterfall and the plan",
    "gridlock": "Gridlock",
    "headline": "The headline",
    "letters": "Letters",
    "messages": "Market messages",
    "joins": "Facts from other files",
    "book": "The inventory file",
    "net": "Nets of obligations",
    "vocabulary": "Words of records and answers",
    "glossary": "Glossary",
    "checks": "Rules that only the checker has",
    "sentences": "Words of sentences",
    "sentiment": "Sentiment of texts",
    "serve": "The service",
    "cluster": "Several machines",
    "replies": "Replies of models",
    "models": "Calling models",
    "guard": "Personal data",
    "import": "Reading files of a desk",
    "reasoning": "Reasoning of training examples",
    "training-data": "Training data",
    "quantization": "Quantization",
    "monitoring": "Monitor, hooks, recovery",
    "evaluation": "Evaluation, drift, health",
}
"""The files of `kb/` in the order of the page, with the heading of each."""

_ID = re.compile(r"`([a-z][a-z0-9_-]*(?:\.[a-z0-9_]+)*)`")


def render_page() -> str:
    """Render `docs/reference/rules.md`."""
    files = {file.stem: file for file in bundled_kb_dir().glob("*.toml")}
    if set(files) != set(CHAPTERS):
        raise SystemExit(f"rules.py: CHAPTERS must have exactly {', '.join(sorted(files))}")
    known = load_kb(bundled_kb_dir()).entries
    parts = [_INTRODUCTION]
    for stem, heading in CHAPTERS.items():
        parts.append(f"## {heading}\n\nFile: `kb/{stem}.toml`\n")
        tables = tomllib.loads(files[stem].read_text())["entry"]
        parts += [_render_entry(known[table["id"]]) for table in tables]
    return "\n".join(parts)


def link_ids(text: str, page: str = "") -> str:
    """Turn each id of an entry in back-quotes into a link to the entry on the page of rules."""
    known = load_kb(bundled_kb_dir()).entries

    def link(match: re.Match[str]) -> str:
        id = match[1]
        return f"[`{id}`]({page}#kb.{id})" if id in known else match[0]

    return _ID.sub(link, text)


def _render_entry(entry: entries.AnyEntry) -> str:
    sources = ", ".join(f"[{source}](#kb.{source})" for source in entry.source.split(", "))
    lines = [
        f"(kb.{entry.id})=",
        f"### {entry.title}",
        "",
        f"`{entry.id}`, source: {sources}, as of {entry.as_of}",
        "",
        link_ids(entry.text.strip()),
        "",
        *_render_origin(entry),
        *_render_values(entry),
        "",
        *_render_confirmation(entry),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _render_origin(entry: entries.AnyEntry) -> Iterator[str]:
    """The reason of a decision, or where a source is."""
    if entry.reason is not None:
        yield from [f"Reason of the decision: {link_ids(entry.reason)}", ""]
    if isinstance(entry, entries.Source):
        links = [f"<{each}>" if each.startswith("https://") else each for each in entry.links]
        yield from [f"See {', '.join(links)}.", ""] if links else []


def _render_confirmation(entry: entries.AnyEntry) -> Iterator[str]:
    """The provision of the law, when it is in force, and how well the entry is confirmed."""
    facts = {
        "Citation": entry.citation,
        "Effective from": entry.effective_from,
        "Effective to": entry.effective_to,
        "Confidence": entry.confidence,
        "Evidence": entry.evidence,
    }
    yield from (f"* {name}: {value}" for name, value in facts.items() if value is not None)


def _render_values(entry: entries.AnyEntry) -> Iterator[str]:
    if isinstance(entry, entries.Number):
        yield f"**{entry.value:,}** {entry.unit}"
    elif isinstance(entry, entries.Choice):
        yield f"**{entry.value}**"
    elif isinstance(entry, entries.Switch):
        yield "**on**" if entry.value else "**off**"
    elif isinstance(entry, entries.Bands):
        yield from [f"| {entry.unit} | value |", "|---|---|"]
        for label, row in zip(label_bands(entry), entry.rows, strict=True):
            yield f"| {label} | {row.value} |"
    elif isinstance(entry, entries.Lookup | entries.Terms):
        if entry.id == "glossary":
            yield "The words are on the page [Glossary](../glossary.md)."
            return
        yield from ["| member | value |", "|---|---|"]
        yield from (f"| {_cell(name)} | {_cell(value)} |" for name, value in entry.members.items())
    elif isinstance(entry, entries.Regulation | entries.Source) and entry.differs:
        yield "Rules that differ: " + link_ids(", ".join(f"`{id}`" for id in entry.differs))
    elif isinstance(entry, entries.Quantiles):
        points = ", ".join(f"{point:,}" for point in entry.points)
        yield f"{len(entry.points)} points, {entry.unit}: {points}"


def _cell(value: Any) -> str:
    text = str(value) or "(dropped)"
    return text.replace("|", "\\|").replace("\n", " ")


_INTRODUCTION = """\
% generated by tools/generate_docs from kb/*.toml; change those files and run `just generate`

# Rules

This page is for those who ask where a number comes from. It has each entry of the knowledge base,
with its source. `finops kb show ID` prints one entry, `finops kb search WORDS` finds some, and
`finops --kb DIR` uses a copy of the files that you have changed.

The sources are explained first. An entry with the source `card-2, decision` follows card 2, and
this project decided a part of it.
"""
