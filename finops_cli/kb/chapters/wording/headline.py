"""The sentences of headlines, and the rows that choose between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from msgspec import Struct

from finops_cli.domain.enums import Action
from finops_cli.domain.headline import HeadlineAction
from finops_cli.errors import KnowledgeError
from finops_cli.kb.chapters.wording.template import Template
from finops_cli.kb.compiler import Compiler

_PLACES = ("security", "qty", "counterparty", "tail", "by")
"""The places that every headline fills."""
_ROWS = {
    "offset": (),
    "dispute": (),
    "cash": (),
    "deliver": ("hand",),
    "deliver_part": ("part", "rest", "hand", "next"),
    "close_out": (),
    "purchase": (),
    "net": ("part", "parties"),
    "chase": ("parties",),
    "escalate": ("rest", "meanwhile"),
    "buy_in_notice": (),
    "chase_receive": (),
}
"""The rows, each with the further places that it fills."""
_SOURCES = ("depot", "recall", "borrow")
_PLACES_OF_SOURCES = ("sources",)
_WORDS = ("tail", "box", "netted", "both")
_PHRASES = {
    "by_clock": ("date", "rule"),
    "overdue_clock": ("date", "rule"),
    "by_card": ("rule",),
    "overdue_card": ("rule",),
    "by_card_date": ("date", "rule"),
    "overdue_card_date": ("date", "rule"),
    "meanwhile": ("sources",),
    "chase": ("party", "qty"),
    "net": ("qty",),
    "depot": ("qty",),
    "recall": ("qty",),
    "borrow": ("qty",),
    "beside": ("qty",),
    "escalate": ("qty",),
    "others": ("party", "count"),
    "security_event": ("security",),
    "security_new": ("security", "new"),
}


class HeadlineRow(Struct, frozen=True, eq=False, kw_only=True):
    """A row of the truth table: its action and its sentence."""

    action: HeadlineAction
    text: Template


class HeadlineRules(Struct, frozen=True, eq=False, kw_only=True):
    """The headlines by row (kb: `headline.*`)."""

    rows: Mapping[str, HeadlineRow]
    sources: Mapping[str, HeadlineRow]
    """The rows of `headline.sources` by depot, recall and borrow; they share a sentence."""
    triage: Mapping[str, HeadlineRow]
    """The row of each action of a triage."""
    words: Mapping[str, str]
    """The phrases without places."""
    phrases: Mapping[str, Template]
    names: int
    """The most counterparties that a sentence names."""


def compile_headline(c: Compiler) -> HeadlineRules:
    """Compile `headline.*`. Raises KnowledgeError for an unknown action or place."""
    sources = c.texts("headline.sources", (*_SOURCES, "text"))
    triage = c.texts("headline.triage", get_args(Action))
    phrases = c.texts("headline.phrases", (*_WORDS, *_PHRASES))
    return HeadlineRules(
        rows={row: _row(c, f"headline.{row}", places) for row, places in _ROWS.items()},
        sources={
            name: _make_row("headline.sources", sources[name], sources["text"], _PLACES_OF_SOURCES)
            for name in _SOURCES
        },
        triage={
            action: _make_row("headline.triage", action, text, ())
            for action, text in triage.items()
        },
        words={name: Template("headline.phrases", phrases[name], ()).fill({}) for name in _WORDS},
        phrases={
            name: Template("headline.phrases", phrases[name], places)
            for name, places in _PHRASES.items()
        },
        names=c.whole("headline.names"),
    )


def _row(c: Compiler, id: str, places: tuple[str, ...]) -> HeadlineRow:
    given = c.texts(id, ("action", "text"))
    return _make_row(id, given["action"], given["text"], places)


def _make_row(id: str, action: str, text: str, places: tuple[str, ...]) -> HeadlineRow:
    return HeadlineRow(action=_action(id, action), text=Template(id, text, _PLACES + places))


def _action(id: str, word: str) -> HeadlineAction:
    if word not in get_args(HeadlineAction):
        accepted = ", ".join(get_args(HeadlineAction))
        raise KnowledgeError(f"kb entry {id}: {word} is given. Expected one of: {accepted}.")
    return cast(HeadlineAction, word)
