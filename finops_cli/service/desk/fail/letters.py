"""The letters that one fail asks for, as texts that a person can copy."""

from __future__ import annotations

from contextlib import closing
from typing import get_args

from msgspec import Struct

from finops_cli.errors import FinopsError
from finops_cli.kb.chapters.wording.letters import LetterKind
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.letters.collect import collect
from finops_cli.letters.parties import DeskDetails
from finops_cli.letters.spool import Spool
from finops_cli.letters.write import LetterFiles, compose_letters
from finops_cli.service.desk.fail.record import GivenRecord

_KINDS: frozenset[LetterKind] = frozenset(get_args(LetterKind))
_NOBODY = LetterFiles(DeskDetails(), None, None)
"""The service knows neither sender nor addresses: the letter has blanks in their places."""


class LetterText(Struct, frozen=True, kw_only=True):
    """A letter that a fail asks for."""

    name: str
    kind: LetterKind
    to: str
    subject: str
    text: str
    blanks: int
    """Facts that somebody has to fill in."""
    why: list[str]


class FailLetters(Struct, frozen=True, kw_only=True):
    """The letters of a fail, and why it gets no letter of another kind."""

    letters: list[LetterText]
    without: list[str]


NO_LETTERS = FailLetters(letters=[], without=[])


def write_fail_letters(line: bytes, given: GivenRecord | None, kb: KnowledgeBase) -> FailLetters:
    """Write the letters of an output line; its record adds facts that the line lacks."""
    with closing(Spool()) as spool:
        try:
            records = None if given is None else [given.line]
            found = collect([line], records, _KINDS, kb, spool)
        except FinopsError:  # a record without a name has another default name here
            found = collect([line], None, _KINDS, kb, spool)
        if found.bad_lines:
            return NO_LETTERS
        letters = [
            LetterText(
                name=each.name,
                kind=each.letter.kind,
                to=each.letter.addressee.name or each.letter.addressee.participant or "",
                subject=each.letter.subject,
                text=each.letter.text,
                blanks=each.letter.blanks,
                why=list(dict.fromkeys(row.why for row in each.rows)),
            )
            for each in compose_letters(spool, kb, _NOBODY, found.as_of)
        ]
        return FailLetters(letters=letters, without=[each.why for each in spool.without()])
