"""The type of a way in which personal data is written."""

from __future__ import annotations

from dataclasses import dataclass

from finops_cli.kb.chapters.guard import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One way in which a kind of personal data is written."""

    name: str
    """The key of its score in the knowledge base."""
    kind: Kind
    regexes: tuple[str, ...]
    """Alternatives; they are compiled without regard to case."""
    crosses_lines: bool = True
    """A line end within a run of its digits is ignored."""
    matches: tuple[str, ...]
    """Texts in which one of the regexes finds a place."""
    rejects: tuple[str, ...]
    """Texts in which none of the regexes finds a place."""
