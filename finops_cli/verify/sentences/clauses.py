"""Read the claims of a text, clause by clause.

A text is cut into clauses at full stops and semicolons, and these into segments at commas, brackets
and the words of `sentence.boundary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from finops_cli.kb.chapters.wording.sentences import SentenceRules, stem, stem_all
from finops_cli.verify.sentences.claims import Claim, Clause, Context
from finops_cli.verify.sentences.labels import WATERFALL, list_steps
from finops_cli.verify.sentences.segments import Segment
from finops_cli.verify.sentences.tokens import Item, read_items

_ENDS = frozenset((".", ";", "!", "?", "...", "\u2026", "->", "=>", "\u2192", "\u21d2"))
_INNER = ("/", '"')
"""Marks within a segment."""


_SOURCES = frozenset(("chase", "net", "box", "apply", "depot", "recall", "borrow"))
_COUNTED_UNITS = ("shares", "days")
_ADDING = ("plus", "x")
_SHARES = ("quantity:", "pair:", "bare:shares")
"""The beginnings of the roles of a number of shares."""
_BRACKETED = 3
"""Items of a label in brackets."""
_LONGEST = 60
"""Items of a segment. A longer one is cut, so that the time is proportional to the text."""


def read_clauses(text: str, rules: SentenceRules) -> list[Clause]:
    """Read the claims of each clause of `text`."""
    clauses: list[Clause] = []
    told: list[str] = []
    current: list[Item] = []
    for item in [*read_items(text, rules), Item("mark", ".")]:
        if item.kind == "mark" and item.text in _ENDS:
            if any(each.kind != "mark" for each in current):
                clauses.append(_read_clause(current, item.text == "?", told, rules))
            current = []
        else:
            current.append(item)
    return clauses


def _read_clause(
    items: list[Item], is_question: bool, told: list[str], rules: SentenceRules
) -> Clause:
    segments = list(_segments(items, rules))
    context, has_bare_number, is_vague = Context(told, len(told)), False, is_question
    if _lists_steps(segments, rules):
        context.step_list = max(list_steps(items), key=WATERFALL.index)
    for segment, following in zip(segments, [*segments[1:], []], strict=True):
        context.is_continued = _is_source(following, rules)
        context.is_of_rest = _names_rest(following)
        reader = Segment(segment, context, rules)
        context.claims += reader.read()
        has_bare_number |= reader.has_bare_number
        is_vague |= reader.turns_nothing and not reader.is_bare_negation
        is_vague |= context.is_vague or any("vague" in item.means("negation") for item in segment)
    words = [item for item in items if item.kind in ("word", "phrase")]
    unknown = [item.text for item in words if _is_unknown(item, rules)]
    beside = list(_list_beside_numbers(items, context.claims, rules))
    count = sum(len(item.text.split()) for item in words)
    return Clause(items, context.claims, count, unknown, beside, is_vague, has_bare_number)


def _is_source(segment: list[Item], rules: SentenceRules) -> bool:
    """Test for a segment that only names a source of shares: "and the box"."""
    passed = rules.grammar["article"] | rules.boundaries
    named = [item for item in segment if stem(item.text) not in passed]
    return len(named) == 1 and not _SOURCES.isdisjoint(named[0].means("quantity"))


def _names_rest(segment: list[Item]) -> bool:
    """Test for "that remain" behind the number of the segment before."""
    is_rest = any({"left", "residual"} & set(item.means("quantity")) for item in segment)
    return is_rest and not any(item.kind == "number" for item in segment)


def _is_unknown(item: Item, rules: SentenceRules) -> bool:
    is_known = item.meanings or stem(item.text) in rules.joining
    return item.kind in ("word", "phrase") and not is_known and len(item.text) > 1


def _list_beside_numbers(
    items: list[Item], claims: list[Claim], rules: SentenceRules
) -> Iterator[str]:
    """Yield the words that may change a number of their clause: 32,000 shares per day.

    Words with a meaning are claims, or belong to one. The others are all listed that
    `sentence.beside` does not have for the kind of the numbers and the place of the word.
    """
    for before, after in pairwise(items):
        if after.text.lower() in _COUNTED_UNITS and _is_unknown(before, rules):
            yield before.text  # vierzigtausend shares
    if not any(item.kind == "number" for item in items):
        return
    beside = rules.beside
    counts = {each.roles[0].startswith(_SHARES) for each in claims if _is_number(each)}
    allowed = beside["any"] | rules.boundaries
    allowed |= beside["shares"] if True in counts else frozenset()
    allowed |= beside["others"] if False in counts else frozenset()
    near = [item for item in items if item.text != '"']
    ends = [Item("mark", "."), *near, Item("mark", ".")]
    for at, (before, item, after) in enumerate(zip(ends, near, ends[2:], strict=False)):
        if item.kind not in ("word", "phrase") or not item.meanings.keys() <= {"neutral"}:
            continue
        word = stem_all(item.text)
        is_apart = word in rules.boundaries
        if is_apart and before.kind == "number" != after.kind and word in _ADDING:
            yield item.text  # 4,000 plus shares
        if _is_limit(near, at, rules):
            continue
        if (
            (
                word not in allowed
                and not (_is_plain(before) and word in beside["after"])
                and not (after.kind == "number" and word in beside["before"])
            )
            or (after.kind == "number" and not is_apart and word not in beside["before"])
            or (_is_plain(before) and not is_apart and word not in beside["after"])
        ):
            yield item.text


def _is_plain(item: Item) -> bool:
    return item.kind == "number" and not item.unit


def _is_limit(items: list[Item], at: int, rules: SentenceRules) -> bool:
    """Test for "more than 5 days": the word makes the number a limit."""
    stems = {stem(word) for word in items[at].text.split()}
    following = items[at + 1 : at + 3]
    return any(each.kind == "number" for each in following) and any(
        stems & rules.grammar[part] for part in ("above", "below", "at_least", "at_most")
    )


def _is_number(claim: Claim) -> bool:
    return isinstance(claim.value, Decimal | tuple)


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
    for item in _join_labels(items):
        is_mark = item.kind == "mark" and item.text not in _INNER
        if is_mark or _joins(item, rules) or len(current) == _LONGEST:
            if current:
                yield current
            current = []
        if not is_mark:
            current.append(item)
    if current:
        yield current


def _join_labels(items: list[Item]) -> Iterator[Item]:
    """Drop the brackets around a label: "times 0.9 (inventory) and 1.2 (concentration)".

    A percentage in brackets is an aside: "4,000 shares (12.5%) are escalated".
    """
    at = 0
    while at < len(items):
        end = at + _BRACKETED
        is_aside = (
            [each.text for each in items[at:end:2]] == ["(", ")"]
            and at > 0
            and items[at - 1].kind == "number"
            and items[at + 1].unit == "percent"
        )
        is_label = (
            items[at].text == "("
            and at > 0
            and items[at - 1].kind == "number"
            and end <= len(items)
            and items[end - 1].text == ")"
            and items[at + 1].meanings.keys() <= {"number", "quantity", "neutral"}
            and "number" in items[at + 1].meanings
        )
        if is_aside:
            yield items[at + 1]._replace(kind="aside")
            at = end
        elif is_label:
            yield items[at + 1]
            at = end
        else:
            yield items[at]
            at += 1


def _joins(item: Item, rules: SentenceRules) -> bool:
    is_word = item.kind in ("word", "phrase") and " " not in item.text
    return is_word and stem(item.text) in rules.boundaries
