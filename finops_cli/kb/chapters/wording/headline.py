"""The sentences of headlines, and the rows that choose between them."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import cast, get_args

from msgspec import Struct

from finops_cli.domain.enums import Action
from finops_cli.domain.headline import HeadlineAction
from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_ROWS = (
    "offset",
    "dispute",
    "cash",
    "deliver",
    "deliver_part",
    "close_out",
    "purchase",
    "net",
    "chase",
    "escalate",
    "buy_in_notice",
    "chase_receive",
)
_SOURCES = ("depot", "recall", "borrow")
_PLACES = (
    "security",
    "qty",
    "part",
    "rest",
    "counterparty",
    "parties",
    "hand",
    "next",
    "sources",
    "meanwhile",
    "tail",
    "by",
)
_PHRASES = {
    "by_clock": ("date", "rule"),
    "overdue_clock": ("date", "rule"),
    "by_card": ("rule",),
    "overdue_card": ("rule",),
    "by_card_date": ("date", "rule"),
    "overdue_card_date": ("date", "rule"),
    "tail": (),
    "meanwhile": ("sources",),
    "box": (),
    "netted": (),
    "both": (),
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
    """A row of the truth table: its action and its sentence with places in braces."""

    action: HeadlineAction
    text: str


class HeadlineRules(Struct, frozen=True, eq=False, kw_only=True):
    """The headlines by row (kb: `headline.*`)."""

    rows: Mapping[str, HeadlineRow]
    source_actions: Mapping[str, HeadlineAction]
    """The action of `headline.sources` by depot, recall and borrow."""
    sources_text: str
    triage: Mapping[str, HeadlineRow]
    """The row of each action of a triage."""
    phrases: Mapping[str, str]
    names: int
    """The most counterparties that a sentence names."""


def compile_headline(c: Compiler) -> HeadlineRules:
    """Compile `headline.*`. Raises KnowledgeError for an unknown action or place."""
    rows = {row: _row(c, f"headline.{row}") for row in _ROWS}
    sources = c.texts("headline.sources", (*_SOURCES, "text"))
    triage = c.texts("headline.triage", get_args(Action))
    phrases = c.texts("headline.phrases", tuple(_PHRASES))
    for text in (sources["text"], *triage.values()):
        _check_places("headline.sources" if text == sources["text"] else "headline.triage", text)
    for name, places in _PHRASES.items():
        _check_places("headline.phrases", phrases[name], places)
    return HeadlineRules(
        rows=rows,
        source_actions={name: _action("headline.sources", sources[name]) for name in _SOURCES},
        sources_text=sources["text"],
        triage={
            action: HeadlineRow(action=cast(HeadlineAction, action), text=text)
            for action, text in triage.items()
        },
        phrases=phrases,
        names=c.whole("headline.names"),
    )


def _row(c: Compiler, id: str) -> HeadlineRow:
    given = c.texts(id, ("action", "text"))
    _check_places(id, given["text"])
    return HeadlineRow(action=_action(id, given["action"]), text=given["text"])


def _action(id: str, word: str) -> HeadlineAction:
    if word not in get_args(HeadlineAction):
        accepted = ", ".join(get_args(HeadlineAction))
        raise KnowledgeError(f"kb entry {id}: {word} is given. Expected one of: {accepted}.")
    return cast(HeadlineAction, word)


def _check_places(id: str, text: str, places: tuple[str, ...] = _PLACES) -> None:
    """Raise KnowledgeError for braces that do not hold one of `places`."""
    try:
        named = [name for _, name, spec, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise KnowledgeError(f"kb entry {id}: {text!r} has a brace too many: {error}.") from error
    for name in named:
        if name not in places:
            accepted = ", ".join(f"{{{place}}}" for place in places) or "text without braces"
            raise KnowledgeError(f"kb entry {id}: {{{name}}} is given. Expected {accepted}.")
