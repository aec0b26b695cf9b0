"""Exercises for the tiny resolver: one part of its working at a time.

What the model could not know there is given and not learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal

from finops_cli.domain.resolution import ResolverInput
from finops_cli.foundry.draws import rng
from finops_cli.foundry.drill import Piece
from finops_cli.foundry.tiny_digits import LARGEST, difference, divided, total
from finops_cli.foundry.tiny_drills import CLOSING, OPENING
from finops_cli.foundry.tiny_resolver_answer import tiny_plan
from finops_cli.foundry.tiny_resolver_trace import listed, worked
from finops_cli.foundry.trace_reading import read
from finops_cli.kb.book import Book

_GUESSED = re.compile(r"([+0-]\d{5}[a-d])(\d)x")
_RECKONED = re.compile(r"(?<=[xy]\d{7}=)\d{7}[+0-]")
_OPERATIONS, _DIVISIONS, _ROUNDING = 7, 10, len("12345e5x1234567=1234567+")
_LEAST = 100
"""The fewest shares in a drill."""


def resolver_drill(case: ResolverInput, book: Book) -> list[Piece]:
    """The working of a plan behind what is read off the input, which is given."""
    reading = read(case, tiny_plan(case, book), book)
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
