"""Tell which part of the score the number of a segment is: its points, or its factor."""

from __future__ import annotations

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Context
from finops_cli.verify.sentences.labels import Labels
from finops_cli.verify.sentences.tokens import Item

PARTS = frozenset(f"number:{name}_part" for name in ("age", "value", "regulatory", "cp"))
"""The parts of the base score."""
FACTORS = ("number:inventory_modifier", "number:concentration_modifier")


class ScoreParts:
    """The parts of the score that one segment names."""

    def __init__(
        self, items: list[Item], context: Context, labels: Labels, rules: SentenceRules
    ) -> None:
        self._items = items
        self._context = context
        self._labels = labels
        self._grammar = rules.grammar

    def note(self, i: int) -> None:
        """Note in the context that "base 46 from" begins a list of parts."""
        following = self._items[i + 1].text.lower() if i + 1 < len(self._items) else ""
        is_base = not self._items[i].unit and "base" in self._labels.names_at(i - 1)
        if following == "from" and is_base:
            self._context.has_parts = True

    def part_of_base(self, i: int) -> str | None:
        """Return the part that the number of "base 46 from value 25, age 18" adds to the base."""
        if self._items[i].unit or not self._context.has_parts:
            return None
        labels = self._labels.names_at(i - 1)
        if labels and "factor" in self._items[i - 1].text.lower():
            return None
        names = (f"number:{name.removesuffix('_part')}_part" for name in labels)
        return next((name for name in names if name in PARTS), None)

    def contribution(self, i: int, role: str) -> str:
        """Return the role of "the age adds 18 points", the weighted part of the base score, and of
        "age factor 60".
        """
        part = role if role.endswith("_part") else f"{role}_part"
        start = max((at for at, _ in self._labels.labelled if at < i), default=i)
        near = self._items[start:i] if start < i else self._items
        adds = any(stem(each.text) in self._grammar["contribution"] for each in near)
        if adds and role in FACTORS:
            return f"{role}:points"  # a modifier multiplies
        if part in PARTS and adds and not self._items[i].unit:
            return f"{part}:points"
        words = self._items[start].text.lower().split()
        if role in PARTS and start < i:
            role += ":factor" if "factor" in words else ":points" if "points" in words else ""
        return role
