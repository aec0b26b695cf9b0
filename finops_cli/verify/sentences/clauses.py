"""Read the claims of a text, clause by clause.

A text is cut into clauses at full stops and semicolons, and these into segments at commas, brackets
and the words of `sentence.boundary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem
from finops_cli.verify.sentences.claims import Clause, Context
from finops_cli.verify.sentences.segments import Segment
from finops_cli.verify.sentences.tokens import Item, read_items

_ENDS = frozenset((".", ";", "!", "?", "...", "\u2026", "->", "=>", "\u2192", "\u21d2"))
_INNER = ("/", '"')
"""Marks within a segment."""


_SOURCES = frozenset(("chase", "net", "box", "apply", "depot", "recall", "borrow"))
_COUNTED_UNITS = ("shares", "days")
_LONGEST = 60
"""Items of a segment. A longer one is cut, so that the time is proportional to the text."""


def read_clauses(text: str, rules: SentenceRules) -> list[Clause]:
    """Read the claims of each clause of `text`."""
    clauses: list[Clause] = []
    current: list[Item] = []
    for item in [*read_items(text, rules), Item("mark", ".")]:
        if item.kind == "mark" and item.text in _ENDS:
            if any(each.kind != "mark" for each in current):
                clauses.append(_read_clause(current, item.text == "?", rules))
            current = []
        else:
            current.append(item)
    return clauses


def _read_clause(items: list[Item], is_question: bool, rules: SentenceRules) -> Clause:
    segments = list(_segments(items, rules))
    context, has_bare_number, is_vague = Context(), False, is_question
    context.has_step_list = _lists_steps(segments, rules)
    for segment in segments:
        reader = Segment(segment, context, rules)
        context.claims += reader.read()
        has_bare_number |= reader.has_bare_number
        is_vague |= context.is_vague or any("vague" in item.means("negation") for item in segment)
    words = [item for item in items if item.kind in ("word", "phrase")]
    unknown = [item.text for item in words if _is_unknown(item, rules)]
    beside = [item.text for item in _list_beside_numbers(items) if _is_unknown(item, rules)]
    count = sum(len(item.text.split()) for item in words)
    return Clause(context.claims, count, unknown, beside, is_vague, has_bare_number)


def _is_unknown(item: Item, rules: SentenceRules) -> bool:
    is_known = item.meanings or stem(item.text) in rules.joining
    return item.kind in ("word", "phrase") and not is_known and len(item.text) > 1


def _list_beside_numbers(items: list[Item]) -> Iterator[Item]:
    """Yield each item next to a number, and each item before `shares` or `days`, where a number
    belongs.
    """
    for before, after in pairwise(item for item in items if item.text != '"'):
        if before.kind == "number":
            yield after
        if after.kind == "number" or after.text.lower() in _COUNTED_UNITS:
            yield before


def _lists_steps(segments: list[list[Item]], rules: SentenceRules) -> bool:
    """Test for "after the chase, the box and the recall": the numbers are not those of one step."""
    is_after = was_last = False
    for segment in segments:
        passed = rules.grammar["article"] | rules.boundaries
        names = [item for item in segment if stem(item.text) not in passed]
        sources = [item for item in names if not _SOURCES.isdisjoint(item.means("quantity"))]
        counts = any(item.kind == "number" for item in segment)
        if sources and ((is_after and not counts) or (was_last and names[0] is sources[0])):
            return True
        was_last = bool(segment[-1].means("milestone"))
        is_after = is_after or any(item.means("milestone") for item in segment)
    return False


def _segments(items: list[Item], rules: SentenceRules) -> Iterator[list[Item]]:
    current: list[Item] = []
    for item in items:
        is_mark = item.kind == "mark" and item.text not in _INNER
        if is_mark or _joins(item, rules) or len(current) == _LONGEST:
            if current:
                yield current
            current = []
        if not is_mark:
            current.append(item)
    if current:
        yield current


def _joins(item: Item, rules: SentenceRules) -> bool:
    is_word = item.kind in ("word", "phrase") and " " not in item.text
    return is_word and stem(item.text) in rules.boundaries
