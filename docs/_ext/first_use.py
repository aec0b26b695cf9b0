"""Link the first use of each word of the glossary on a page, and the first mention of each card.

The pages stay plain Markdown: the links are made when Sphinx has read a page.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = Path(__file__).resolve().parents[2] / "kb" / "glossary.toml"
EVERYDAY = {"age", "backend", "box", "case", "checker", "fail", "finding", "guard", "inventory",
            "partial", "chase", "drift", "tier", "coverage", "adapter", "lot"}  # fmt: skip
"""Words with an everyday meaning too: they are linked on the pages of `WORKED` only."""

WORKED = ("quickstart", "tutorial/", "index")
UNTOUCHED = ("glossary", "changelog", "measurements")
"""Pages without links to the glossary: itself, and records of the past."""

_KEPT_AS_IT_IS = (
    nodes.literal,
    nodes.literal_block,
    nodes.reference,
    nodes.title,
    nodes.raw,
    nodes.comment,
    pending_xref,
)


class FirstUse(SphinxTransform):
    """Replaces the first use of a word by a reference to the glossary."""

    default_priority = 600

    def apply(self, **kwargs: Any) -> None:
        """Link each word once."""
        page = self.env.docname
        if page.startswith(UNTOUCHED):
            return
        words = {word for word in _read_words() if word not in EVERYDAY or page.startswith(WORKED)}
        cards = {f"card {number}" for number in (1, 2, 3)}
        for text in list(self.document.findall(nodes.Text)):
            if not words and not cards:
                break
            if not _is_kept(text):
                self._link(text, words, cards)

    def _link(self, text: nodes.Text, words: set[str], cards: set[str]) -> None:
        parts: list[nodes.Node] = []
        rest = str(text)
        while match := _pattern(frozenset(words | cards)).search(rest):
            word = _find_word(match[0], words | cards)
            parts += [nodes.Text(rest[: match.start()]), self._refer(word, match[0])]
            rest = rest[match.end() :]
            words.discard(word)
            cards.discard(word)
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(rest)])

    def _refer(self, word: str, shown: str) -> pending_xref:
        is_card = word.startswith("card ")
        reference = pending_xref(
            "",
            nodes.inline("", shown, classes=["xref", "std"]),
            refdomain="std",
            reftype="ref" if is_card else "term",
            reftarget=f"kb.{word.replace(' ', '-')}" if is_card else word,
            refexplicit=True,
            refwarn=True,
        )
        reference["refdoc"] = self.env.docname
        return reference


def _read_words() -> list[str]:
    [entry] = tomllib.loads(GLOSSARY.read_text())["entry"]
    return list(entry["members"])


def _is_kept(text: nodes.Node) -> bool:
    parent = text.parent
    while parent is not None:
        if isinstance(parent, _KEPT_AS_IT_IS):
            return True
        parent = parent.parent
    return False


def _pattern(words: frozenset[str]) -> re.Pattern[str]:
    """Match any of the words, longest first, also in the plural; `T+6` only as a whole."""
    if not words:
        return re.compile(r"(?!)")
    ordered = sorted(words, key=len, reverse=True)
    return re.compile(
        r"(?<![\w/.-])(?:" + "|".join(_form(word) for word in ordered) + r")(?![\w/-])"
    )


def _form(word: str) -> str:
    """Match a word written small at the start of a sentence too; an abbreviation only as it is."""
    escaped = re.escape(word)
    if word[0].islower():
        escaped = f"[{word[0]}{word[0].upper()}]{re.escape(word[1:])}"
    return escaped + "s?"


def _find_word(shown: str, words: set[str]) -> str:
    for form in (shown, shown.removesuffix("s")):
        for word in words:
            if word == form or (word[0].islower() and word.casefold() == form.casefold()):
                return word
    raise LookupError(shown)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_transform(FirstUse)
    return {"parallel_read_safe": True}
