"""The words by which a sentence claims something, with their roles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, get_args

from msgspec import Struct

from finops_cli.domain.enums import (
    Action,
    Category,
    EscalationLevel,
    Flag,
    HandoffFlag,
    StepAction,
    Tier,
)
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_MAX_PCT = 100
_SUFFIXES = ("ing", "ed", "es", "s")
_KEPT = ("ss", "us", "is", "eed")
_LEAST_STEM = 3
ROLES = (
    "tier",
    "action",
    "category",
    "direction",
    "flag",
    "level",
    "statement",
    "quantity",
    "number",
    "party",
    "milestone",
    "negation",
)
"""The entries `sentence.ROLE`: tables of a meaning and its phrases."""
GRAMMAR = (
    "copula",
    "auxiliary",
    "article",
    "above",
    "below",
    "at_least",
    "at_most",
    "inverted",
    "another",
    "attribute",
    "deadline",
    "settlement",
    "contribution",
    "opening",
    "following",
    "filling",
    "further",
    "larger",
    "smaller",
    "alone",
    "scaling",
    "result",
    "possession",
    "today",
    "due",
    "closing",
    "finally",
    "relation",
    "ordinal",
    "conditional",
    "comparing",
    "oldest",
    "youngest",
    "largest",
    "smallest",
)
"""The parts of `sentence.grammar`."""
BESIDE = ("any", "shares", "others", "before", "after")
"""The parts of `sentence.beside`."""
_VALUES: dict[str, tuple[str, ...]] = {
    "tier": get_args(Tier),
    "action": (*get_args(Action), *get_args(StepAction), "DELIVER"),
    "category": get_args(Category),
    "direction": ("FTD", "FTR"),
    "flag": (*get_args(Flag), *get_args(HandoffFlag)),
    "level": get_args(EscalationLevel),
    "milestone": ("chase", "net", "box", "depot", "recall", "borrow", "all", "end", "step"),
    "negation": ("no", "behind", "condition", "vague"),
}
"""The meanings that a role may have. Those of the others are the keys of `verify.sentences`."""
_IMPLIED: dict[str, tuple[tuple[str, str], ...]] = {
    "CHASE_FTR": (("quantity", "chase"), ("party", "chase")),
    "OFFSET_FTR": (("quantity", "net"), ("party", "net")),
    "NET_GRIDLOCK": (("quantity", "net"), ("party", "net")),
    "APPLY_BOX": (("quantity", "apply"),),
    "DEPOT_MOVEMENT": (("quantity", "depot"),),
    "INITIATE_RECALL": (("quantity", "recall"), ("party", "recall")),
    "SOURCE_BORROW": (("quantity", "borrow"), ("party", "borrow")),
    "BUY_IN_NOTICE": (("party", "notice"),),
    "SPO_SETTLEMENT": (("quantity", "cash"),),
    "PARTIAL_DELIVER": (("quantity", "deliver"),),
}
"""The roles of the quantity and the participant of an action."""
_SEPARATOR = "|"


Meanings = Mapping[str, tuple[str, ...]]
"""Values by role, such as LOW in the role of a tier."""


class Phrase(NamedTuple):
    """A phrase by its stems, with all its meanings."""

    stems: tuple[str, ...]
    meanings: Meanings


class SentenceRules(Struct, frozen=True, eq=False, kw_only=True):
    """The lexicon of sentences (kb: `sentence.*`)."""

    phrases: Mapping[str, tuple[Phrase, ...]]
    """Phrases by their first stem, the longest first."""
    grammar: Mapping[str, frozenset[str]]
    """Stems of the words that join a claim to its words, by their part."""
    boundaries: frozenset[str]
    """Stems of the words between clauses."""
    joining: frozenset[str]
    """Those stems, and all of `grammar`: words that claim nothing by themselves."""
    beside: Mapping[str, frozenset[str]]
    """Stems of the words that a clause with a number may have, by their part."""
    placeholders: frozenset[str]
    unfinished: frozenset[tuple[str, ...]]
    """Stems of phrases that cannot end a text."""
    max_unknown_pct: int


def compile_sentences(c: Compiler) -> SentenceRules:
    """Compile `sentence.*`. Raises KnowledgeError for an unknown meaning or an empty phrase."""
    found: defaultdict[tuple[str, ...], dict[str, tuple[str, ...]]] = defaultdict(dict)
    for role in (*ROLES, "neutral"):
        for value, stems in _phrases(c, f"sentence.{role}", _VALUES.get(role)):
            for each in ((role, value), *_IMPLIED.get(value, ())):
                values = found[stems].get(each[0], ())
                if each[1] not in values:
                    found[stems][each[0]] = (*values, each[1])
    by_first: defaultdict[str, list[Phrase]] = defaultdict(list)
    for stems, meanings in found.items():
        by_first[stems[0]].append(Phrase(stems, meanings))
    grammar = {
        part: frozenset(stem(word.strip()) for word in text.split(_SEPARATOR))
        for part, text in c.texts("sentence.grammar", GRAMMAR).items()
    }
    beside = {
        part: frozenset(stem_all(words) for words in text.split(_SEPARATOR))
        for part, text in c.texts("sentence.beside", BESIDE).items()
    }
    boundaries = frozenset(stem(word) for word in c.words("sentence.boundary"))
    return SentenceRules(
        phrases={
            first: tuple(sorted(phrases, key=lambda phrase: -len(phrase.stems)))
            for first, phrases in by_first.items()
        },
        grammar=grammar,
        boundaries=boundaries,
        joining=boundaries.union(*grammar.values()),
        beside=beside,
        placeholders=c.words("sentence.placeholder"),
        unfinished=frozenset(stems for _, stems in _phrases(c, "sentence.unfinished", None)),
        max_unknown_pct=c.whole("sentence.max_unknown_pct", _MAX_PCT),
    )


def _phrases(
    c: Compiler, id: str, accepted: tuple[str, ...] | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for value, text in c.table(id).items():
        if accepted is not None and value not in accepted:
            raise KnowledgeError(
                f"kb entry {id}: {value} is given. Expected one of: {', '.join(accepted)}."
            )
        if accepted is not None and "_" in value:
            yield value, tuple(stem(word) for word in value.lower().split("_"))
        for phrase in text.split(_SEPARATOR):
            stems = tuple(stem(word) for word in phrase.replace("-", " ").split())
            if not stems:
                raise KnowledgeError(
                    f"kb entry {id}: {value} has an empty phrase. Expected words between the bars."
                )
            yield value, stems


def stem_all(words: str) -> str:
    """Cut the endings of each word."""
    return " ".join(stem(word) for word in words.split())


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Cut the endings of an English word, so that chase, chased and chasing are equal.

    The stem need not be a word: it is only compared with other stems.
    """
    stem = word.lower()
    for suffix in _SUFFIXES:
        rest = stem.removesuffix(suffix)
        if rest != stem and len(rest) >= _LEAST_STEM and not stem.endswith(_KEPT):
            stem = f"{rest[:-1]}y" if suffix == "es" and rest.endswith("i") else rest
            break
    if len(stem) > _LEAST_STEM:
        stem = stem.removesuffix("e")
        if stem[-1] == stem[-2] and stem[-1] not in "aeiou":
            stem = stem[:-1]
    return stem
