"""Sentences of the generator in other words, so that a small model learns words and not templates.

A word of a class (`training/sentiment-words.toml`) becomes another word of its class, and words
without a class are left out. The rates are in the knowledge base (`sentiment.variations`).
Negations and contrasts stay, because they decide the label.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping
from functools import cache

from msgspec.structs import replace

from finops_cli.datasets.rows import Row
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.sentiment.examples import text_split
from finops_cli.datasets.sentiment.rows import sentence_of, sentence_row, sentiment_row
from finops_cli.datasets.triage_examples import Profile
from finops_cli.kb.load import bundled_dir
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.features import CONCESSION, CONTRAST, Lexicon, build_lexicon

_WORD = re.compile(r"[A-Za-z]+(?:-[a-z]+)*(?:['\u2019][a-z]+)? ?")
_NEGATION = "neg"
_FIXED = frozenset((_NEGATION, CONTRAST, CONCESSION))
_DRAWS = 100
"""Maximum number of draws. Four texts in five belong to the train split."""


def load_classes() -> dict[str, list[str]]:
    """Read the word classes (training/sentiment-words.toml)."""
    path = bundled_dir("training") / "sentiment-words.toml"
    found: dict[str, list[str]] = tomllib.loads(path.read_text(encoding="utf-8"))["classes"]
    return {name: list(dict.fromkeys(words)) for name, words in found.items()}


def varied_row(index: int, seed: int, kb: KnowledgeBase, profile: Profile) -> Row:
    """Make example `index`, counted over both splits, in other words if it is a training row.

    Rows of the eval split stay as the generator makes them, and no varied text belongs to it.
    """
    row = sentence_row(index, seed, kb, profile)
    if row.split != "train":
        return row
    given = sentence_of(row)
    draw = rng(seed, "sentiment variation", index)
    for _ in range(_DRAWS):
        varied = replace(given, text=vary(given.text, draw, kb.sentiment.variations))
        if text_split(varied.text) == "train":
            return sentiment_row(row.id, varied)
    return row


def vary(text: str, draw: random.Random, rates: Mapping[str, int]) -> str:
    """Return `text` with other words of the same classes, and with fewer words without a class."""
    lexicon, members = _words()

    def change(found: re.Match[str]) -> str:
        word = found.group().rstrip(" ")
        is_name = word.lower() != word and found.start() > 0
        name = lexicon.class_of(word.lower())
        if is_name or name in _FIXED:
            return found.group()
        if name:
            if draw.random() * 100 >= rates["swap_pct"]:
                return found.group()
            other = draw.choice(members[name])
            return found.group().replace(word, other if word[0].islower() else other.capitalize())
        return "" if draw.random() * 100 < rates["dropout_pct"] else found.group()

    return _WORD.sub(change, text).strip() or text


@cache
def _words() -> tuple[Lexicon, dict[str, list[str]]]:
    """Return the lexicon, and the single words of each class."""
    classes = load_classes()
    single = {name: [word for word in words if word.isalpha()] for name, words in classes.items()}
    return build_lexicon(classes), single
