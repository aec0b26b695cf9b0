"""The templates of the letters (kb: `letters.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.chapters.wording.template import parse_template
from finops_cli.kb.compiler import Compiler

LetterKind = Literal[
    "chaser", "net_settlement", "recall", "buy_in", "dk", "rule_204c", "corporate_action"
]
"""The kinds of letters, in the order of the index."""

_TABLE = "table"
_PROPOSALS = ("claim", "before", "replaced", "cash")
_ALWAYS = "*"


class LetterColumn(Struct, frozen=True, eq=False, kw_only=True):
    """A column of a table."""

    name: str
    head: str
    is_required: bool
    """The column stays, with blanks, where no row has the fact."""


class LetterTemplate(Struct, frozen=True, eq=False, kw_only=True):
    """The words of one kind of letter, with places in braces."""

    subject: str
    before: str
    """The body before the table, paragraphs with empty lines between them."""
    after: str
    columns: tuple[LetterColumn, ...]


class LetterRules(Struct, frozen=True, eq=False, kw_only=True):
    """The templates by kind, and the words that they share."""

    templates: Mapping[str, LetterTemplate]
    places: Mapping[str, str]
    """The words of the blank of each place."""
    blank_text: str
    blank_cell: str
    delivery_time: str
    proposals: Mapping[str, str]


def compile_letters(c: Compiler) -> LetterRules:
    """Compile `letters.*`. Raises KnowledgeError for an unknown place or column."""
    places = c.table("letters.places")
    heads = c.table("letters.columns")
    blank = c.texts("letters.blank", ("text", "cell"))
    parse_template("letters.blank", blank["text"], ("what",))
    proposals = c.texts("letters.proposals", _PROPOSALS)
    for name, text in proposals.items():
        parse_template("letters.proposals", text, ("new",) if name == "replaced" else ())
    return LetterRules(
        templates={
            kind: _compile_template(c, kind, places, heads) for kind in get_args(LetterKind)
        },
        places=places,
        blank_text=blank["text"],
        blank_cell=blank["cell"],
        delivery_time=c.texts("letters.delivery_time", ("time",))["time"],
        proposals=proposals,
    )


def _compile_template(
    c: Compiler, kind: str, places: Mapping[str, str], heads: Mapping[str, str]
) -> LetterTemplate:
    id = f"letters.{kind}"
    given = c.texts(id, ("subject", "columns", "body"))
    parse_template(id, given["subject"], tuple(places))
    parse_template(id, given["body"], (*places, _TABLE))
    before, mark, after = given["body"].strip("\n").partition(f"\n{{{_TABLE}}}\n")
    if not mark or f"{{{_TABLE}}}" in after:
        raise KnowledgeError(
            f"kb entry {id}: the body has no single line {{{_TABLE}}}. Expected {{{_TABLE}}} once,"
            " alone on its line."
        )
    return LetterTemplate(
        subject=given["subject"],
        before=before.strip("\n"),
        after=after.strip("\n"),
        columns=tuple(_compile_column(id, name, heads) for name in given["columns"].split(",")),
    )


def _compile_column(id: str, given: str, heads: Mapping[str, str]) -> LetterColumn:
    name = given.strip()
    is_required = name.endswith(_ALWAYS)
    name = name.removesuffix(_ALWAYS)
    if name not in heads:
        raise KnowledgeError(
            f"kb entry {id}: {name!r} is not a column. Expected names of letters.columns:"
            f" {', '.join(heads)}."
        )
    return LetterColumn(name=name, head=heads[name], is_required=is_required)
