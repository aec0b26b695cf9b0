"""Exercises for the tiny models: the working alone, without the record before it and the answer
behind it.

A drill costs a fraction of a whole row and is nothing but what is hard to learn. What a model could
not know there (the figures that the record would give) is given and not learned.
"""

from __future__ import annotations

import random

from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import Resolution, Step
from finops_cli.domain.triage import Triage
from finops_cli.foundry.draws import rng
from finops_cli.foundry.drill import Piece
from finops_cli.foundry.split import first_in_split
from finops_cli.foundry.tiny_triage_trace import read_off, worked_out
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.rules.triage import triage

OPENING, CLOSING = "<think>\n", "\n</think>\n\n"
_WORDS, _AMOUNTS = 0.2, 0.25
"""Shares of the figures that are copied."""
_NAMES = sorted(
    {
        word
        for fields in (FailRecord, Ftr, Inventory, Step, Resolution, Triage)
        for name in fields.__struct_fields__
        for word in name.split("_")
    }
)
"""The words that fields are named with."""


def copy_drill(index: int, seed: int) -> list[Piece]:
    """Named figures in one order, and the same in another: what a model that starts to learn can do
    first.
    """
    draw = rng(seed, "copy drill", index)
    names = draw.sample(_NAMES, draw.randint(4, 11))
    figures = {name: _figure(draw) for name in names}
    told = " |".join(f" {name}:{figures[name]}" for name in names)
    pieces = [Piece(f"{told} |\n", False)]
    for name in draw.sample(names, len(names)):
        pieces += [
            Piece(f" {name}{draw.choice(('', ':'))}", False),
            Piece(f"{figures[name]} |", True),
        ]
    return pieces


def _figure(draw: random.Random) -> str:
    """A word, an amount with its commas, or a number with, now and then, a sign somewhere in it."""
    kind = draw.random()
    if kind < _WORDS:
        return f" {draw.choice(_NAMES)}"
    if kind < _WORDS + _AMOUNTS:
        return f" {draw.choice(('', '$', '-'))}{_amount(draw):,}"
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 6)))
    place = draw.randint(0, len(digits))
    return (
        f" {digits[:place]}{draw.choice('.,-+%')}{digits[place:]}"
        if draw.random() < 0.4
        else f" {digits}"
    )


def _amount(draw: random.Random) -> int:
    """One to seven digits, as often as not ending in zeros."""
    amount = draw.randrange(10 ** draw.randint(1, 7))
    zeros: int = 10 ** draw.choice((0, 0, 2, 3))
    return amount // zeros * zeros or amount


def triage_drill(index: int, seed: int, book: Book) -> list[Piece]:
    """What is read off a record is given; score and state are worked out from it."""
    record = first_in_split(fails(index, seed, book, "coverage"), index, book.data.eval_every)
    answer = triage(record, book)
    given, worked = read_off(record, answer, book), worked_out(answer, book)
    return [Piece(f"{OPENING}{given}", False), Piece(f"\n{worked}{CLOSING}", True)]
