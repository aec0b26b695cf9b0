"""Exercises for the tiny models: the working alone, without the record before it and the answer
behind it.

A drill costs a fraction of a whole row and is nothing but what is hard to learn. What a model could
not know there (the figures that the record would give) is given and not learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from finops_cli.datasets.reasoning.walkthrough import read
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.scratchpad.digits import LARGEST, difference, divided, total
from finops_cli.datasets.scratchpad.resolver import listed, worked
from finops_cli.datasets.scratchpad.short_plan import tiny_plan
from finops_cli.datasets.scratchpad.triage import read_off, worked_out
from finops_cli.datasets.splits import first_in_split
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.triage import triage

_GUESSED = re.compile(r"([+0-]\d{5}[a-d])(\d)x")
_RECKONED = re.compile(r"(?<=[xy]\d{7}=)\d{7}[+0-]")
_OPERATIONS, _DIVISIONS, _ROUNDING = 7, 10, len("12345e5x1234567=1234567+")
_LEAST = 100
"""The fewest shares in a drill."""

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


def triage_drill(index: int, seed: int, kb: KnowledgeBase) -> list[Piece]:
    """What is read off a record is given; score and state are worked out from it."""
    record = first_in_split(fails(index, seed, kb, "coverage"), index, kb.datasets.eval_every)
    answer = triage(record, kb)
    given, worked = read_off(record, answer, kb), worked_out(answer, kb)
    return [Piece(f"{OPENING}{given}", False), Piece(f"\n{worked}{CLOSING}", True)]


def resolver_drill(case: ResolverInput, kb: KnowledgeBase) -> list[Piece]:
    """The working of a plan behind what is read off the input, which is given."""
    reading = read(case, tiny_plan(case, kb), kb)
    given, worked_off = "\n".join(listed(reading)), "\n".join(worked(reading))
    table = worked_off.index(">")
    return [
        Piece(f"{OPENING}{given}\n{worked_off[:table]}", False),
        Piece(f"{worked_off[table:]}{CLOSING}", True),
    ]


def guess_drill(index: int, seed: int) -> list[Piece]:
    """The digits of divisions to be guessed, and the percentages that quotients make, without the
    reckoning between.
    """
    draw = rng(seed, "guess drill", index)
    pieces = [Piece(OPENING, False)]
    for _ in range(_DIVISIONS):
        divisor = _shares(draw)
        told = divided(draw.randrange(divisor), divisor, 4)
        for before, digit in _GUESSED.findall(told.working):
            pieces += [Piece(before, False), Piece(f"{digit}x", True)]
        rounded = told.working[-_ROUNDING:]
        pieces += [
            Piece(rounded, False),
            Piece(f" {Decimal(10_000 - told.quotient) / 100:.2f}\n", True),
        ]
    return pieces


def reckoning_drill(index: int, seed: int) -> list[Piece]:
    """Differences, sums and the blocks of divisions, of numbers of any size: what is reckoned is
    given, the result is not.
    """
    draw = rng(seed, "reckoning drill", index)
    pieces = [Piece(OPENING, False)]
    for _ in range(_OPERATIONS):
        a, b, kind = _shares(draw), _shares(draw), draw.random()
        if kind < 0.5:
            told = (
                difference(min(a, b), max(a, b))
                if draw.random() < 0.85
                else difference(max(a, b), min(a, b))
            )
        elif kind < 0.6:
            told = total(a, b)
        else:
            pieces += _blocks(divided(draw.randrange(a), a, 4).working)
            continue
        reckoned = told.index(">") + 1
        pieces += [Piece(told[:reckoned], False), Piece(f"{told[reckoned:]}\n", True)]
    return pieces


def _blocks(working: str) -> Iterator[Piece]:
    end = 0
    for found in _RECKONED.finditer(working):
        yield Piece(working[end : found.start()], False)
        yield Piece(found[0], True)
        end = found.end()
    yield Piece("\n", False)


def _shares(draw: random.Random) -> int:
    return int(_LEAST * (LARGEST / _LEAST) ** draw.random())


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
