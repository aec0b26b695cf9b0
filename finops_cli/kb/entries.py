"""The kinds of entry that a knowledge base file may hold.

Unknown kinds and unknown keys are refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from finops_cli.domain.confidence import Confidence


class Entry(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    kw_only=True,
):
    """The fields of every entry: a stable id, its origin (`SOURCES`), a date, and Markdown text."""

    id: str
    title: str
    source: str
    as_of: str
    text: str
    reason: str | None = None
    """Why a decision of this project is so."""
    citation: str | None = None
    """The provision of the law that the entry states."""
    confidence: Confidence | None = None
    """How well the entry is confirmed; it is as weak as the weakest of its evidence."""
    evidence: str | None = None
    """Where the text of the law or its number was seen."""
    effective_from: str | None = None
    """The first day of the provision, YYYY-MM-DD."""
    effective_to: str | None = None
    """The last day of the provision, YYYY-MM-DD."""


class Rule(Entry, frozen=True, tag="rule"):
    """A rule in words; the code that follows it names its id."""


class Check(Entry, frozen=True, tag="check"):
    """A rule that only the checker has."""


class Number(Entry, frozen=True, tag="number"):
    unit: str
    value: Decimal


class Choice(Entry, frozen=True, tag="choice"):
    """One word out of a closed list."""

    value: str


class Switch(Entry, frozen=True, tag="switch"):
    """A behaviour that is on or off."""

    value: bool


class Lookup(Entry, frozen=True, tag="lookup"):
    """A number or a word for each word of a closed list."""

    members: dict[str, Any]


class BandRow(Struct, frozen=True, forbid_unknown_fields=True):
    """Holds up to and including `to`, or up to but not including `below`; the last row has neither.

    Worth a number or a word.
    """

    value: Any
    to: Decimal | None = None
    below: Decimal | None = None


class Bands(Entry, frozen=True, tag="bands"):
    unit: str
    rows: list[BandRow]


class Terms(Entry, frozen=True, tag="terms"):
    """A closed list of words and the meaning of each."""

    members: dict[str, str]


class Words(Terms, frozen=True, tag="words"):
    """A list that the code uses and that a desk may change, with the meaning of each word."""


class Regulation(Entry, frozen=True, tag="regulation"):
    """A provision of the law; `differs` names the entries that depart from it."""

    differs: list[str]


class Source(Entry, frozen=True, tag="source"):
    """A source that entries name; `differs` names the entries where finops departs from it."""

    differs: list[str]
    links: list[str] = []
    """Where the source is: an address, a repository, or a page of the documentation."""


class Quantiles(Entry, frozen=True, tag="quantiles"):
    """A distribution by its smallest value, its quantiles at even steps, and its largest value."""

    unit: str
    points: list[Decimal]


AnyEntry = (
    Rule
    | Check
    | Number
    | Choice
    | Switch
    | Lookup
    | Bands
    | Terms
    | Words
    | Regulation
    | Source
    | Quantiles
)
SOURCES = ("card-1", "card-2", "card-3", "decision", "regulation")
