"""An example that is no conversation, or one whose parts are learned apart."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a text, and whether a model learns to say it. Pieces are tokenised one by one."""

    text: str
    learned: bool


class Drill(NamedTuple):
    """The pieces of a text, which hold every control token that it is to have.

    No answer ends where a drill ends.
    """

    id: str
    pieces: tuple[Piece, ...]
