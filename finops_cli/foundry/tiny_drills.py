"""Exercises for the tiny models: the working alone, without the record before it and the answer behind it.

A drill costs a fraction of a whole row and is nothing but what is hard to learn. What a model could not know there (the figures
that the record would give) is given and not learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.domain.triage import Triage
from finops_cli.foundry.draws import rng
from finops_cli.foundry.tiny_digits import LARGEST, difference, divided, total
from finops_cli.foundry.tiny_resolver_answer import tiny_plan
from finops_cli.foundry.tiny_resolver_trace import listed, worked
from finops_cli.foundry.tiny_triage_trace import read_off, worked_out
from finops_cli.foundry.trace_reading import read
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.rules.triage import triage

OPENING, CLOSING = "<think>\n", "\n</think>\n\n"
_GIVEN = re.compile(
    r"(?<=\n)(?:\d+ (?:box|depot) \d+ |\d+ (?:partial|notice|cash)|\w+ recall \d+ |borrow \d+ |residual|covered|total|1x)"
)
"""In the working of a plan: which source comes next, and what it holds."""
_GUESSED = re.compile(r"([+0-]\d{5}[a-d])(\d)x")
_RECKONED = re.compile(r"(?<=[xy]\d{7}=)\d{7}[+0-]")
_OPERATIONS, _DIVISIONS, _ROUNDING = 7, 10, len("12345e5x1234567=1234567+")
_LEAST = 100
"""The fewest shares in a drill."""
_NAMES = sorted(
    {
        word
        for fields in (FailRecord, Ftr, Inventory, Step, Resolution, Triage)
        for name in fields.__struct_fields__
        for word in name.split("_")
    }
)
"""The words that fields are named with."""


class Segment(NamedTuple):
    """A piece of a text, and whether a model learns to say it."""

    text: str
    learned: bool


def copy_drill(index: int, seed: int) -> list[Segment]:
    """Named figures in one order, and the same in another: what a model that starts to learn can do first."""
    draw = rng(seed, "copy drill", index)
    names = draw.sample(_NAMES, draw.randint(4, 11))
    figures = {name: _figure(draw) for name in names}
    told = " |".join(f" {name}:{figures[name]}" for name in names)
    segments = [Segment(f"{told} |\n", False)]
    for name in draw.sample(names, len(names)):
        segments += [Segment(f" {name}{draw.choice(('', ':'))}", False), Segment(f"{figures[name]} |", True)]
    return segments


def _figure(draw: random.Random) -> str:
    """A number with, now and then, a sign somewhere in it; or a word."""
    if draw.random() < 0.2:
        return f" {draw.choice(_NAMES)}"
    digits = "".join(draw.choices("0123456789", k=draw.randint(1, 6)))
    place = draw.randint(0, len(digits))
    return f" {digits[:place]}{draw.choice('.,-+%')}{digits[place:]}" if draw.random() < 0.4 else f" {digits}"


def triage_drill(index: int, seed: int, book: Book) -> list[Segment]:
    """What is read off a record is given; the score is worked out from it."""
    record = next(fails(index, seed, book, "coverage"))
    components = triage(record, book).score_components
    given, worked = read_off(record, components, book), worked_out(components, book)
    return [Segment(f"{OPENING}{given}", False), Segment(f"\n{worked}{CLOSING}", True)]


def resolver_drill(case: ResolverInput, book: Book) -> list[Segment]:
    """The working of a plan behind what is read off the input, which is given, as are the sources and their sizes."""
    reading = read(case, tiny_plan(case, book), book)
    given, worked_off = "\n".join(listed(reading)), "\n".join(worked(reading))
    table = worked_off.index(">")
    opening = Segment(f"{OPENING}{given}\n{worked_off[:table]}", False)
    return [opening, *_apart(f"{worked_off[table:]}{CLOSING}")]


def guess_drill(index: int, seed: int) -> list[Segment]:
    """The digits of divisions to be guessed, and the percentages that quotients make, without the reckoning between."""
    draw = rng(seed, "guess drill", index)
    segments = [Segment(OPENING, False)]
    for _ in range(_DIVISIONS):
        divisor = _shares(draw)
        told = divided(draw.randrange(divisor), divisor, 4)
        for before, digit in _GUESSED.findall(told.working):
            segments += [Segment(before, False), Segment(f"{digit}x", True)]
        rounded = told.working[-_ROUNDING:]
        segments += [Segment(rounded, False), Segment(f" {Decimal(10_000 - told.quotient) / 100:.2f}\n", True)]
    return segments


def reckoning_drill(index: int, seed: int) -> list[Segment]:
    """Differences, sums and the blocks of divisions, of numbers of any size: what is reckoned is given, the result is not."""
    draw = rng(seed, "reckoning drill", index)
    segments = [Segment(OPENING, False)]
    for _ in range(_OPERATIONS):
        a, b, kind = _shares(draw), _shares(draw), draw.random()
        if kind < 0.5:
            told = difference(min(a, b), max(a, b)) if draw.random() < 0.85 else difference(max(a, b), min(a, b))
        elif kind < 0.6:
            told = total(a, b)
        else:
            segments += _blocks(divided(draw.randrange(a), a, 4).working)
            continue
        reckoned = told.index(">") + 1
        segments += [Segment(told[:reckoned], False), Segment(f"{told[reckoned:]}\n", True)]
    return segments


def _blocks(working: str) -> Iterator[Segment]:
    end = 0
    for found in _RECKONED.finditer(working):
        yield Segment(working[end : found.start()], False)
        yield Segment(found[0], True)
        end = found.end()
    yield Segment("\n", False)


def _shares(draw: random.Random) -> int:
    return int(_LEAST * (LARGEST / _LEAST) ** draw.random())


def _apart(text: str) -> Iterator[Segment]:
    end = 0
    for found in _GIVEN.finditer(text):
        yield Segment(text[end : found.start()], True)
        yield Segment(found[0], False)
        end = found.end()
    yield Segment(text[end:], True)
