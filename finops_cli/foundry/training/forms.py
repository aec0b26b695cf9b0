"""How the examples of a stream are worded. A form decides what a model is trained to say; what it is asked, and how it is judged, it does not.

`card` is the form of the cards and of `finops generate`. Models of a few million parameters cannot reason in whole sentences: a form for
them is one more entry here, and `data.form` names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finops_cli.errors import UsageError
from finops_cli.foundry.dataset import Order, row_at
from finops_cli.foundry.rows import Row
from finops_cli.kb.book import Book


class Piece(NamedTuple):
    """A part of a text, and whether a model learns to say it. Pieces are tokenised one by one."""

    text: str
    learned: bool


class Drill(NamedTuple):
    """An example that is no conversation, or one whose parts are learned apart. Its texts hold every control token, the last one included."""

    id: str
    pieces: tuple[Piece, ...]


Example = Row | Drill


class Form(NamedTuple):
    """`example` is what is trained on at a place of the stream, `row` the record that is asked, and judged, at that place.

    Both depend on order, index and book alone.
    """

    example: Callable[[Order, int, Book], Example]
    row: Callable[[Order, int, Book], Row]


FORMS: dict[str, Form] = {"card": Form(row_at, row_at)}


def form_named(name: str) -> Form:
    """Raises UsageError naming the forms that there are."""
    if name not in FORMS:
        raise UsageError(f"data.form is {name}; accepted: {', '.join(FORMS)}")
    return FORMS[name]
