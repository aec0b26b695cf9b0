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

from msgspec.structs import replace

from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import HandoffTriage, Resolution, ResolverInput, Step, WeightedContributions
from finops_cli.domain.triage import Triage
from finops_cli.foundry.draws import rng
from finops_cli.foundry.tiny_resolver_trace import tiny_trace
from finops_cli.foundry.tiny_triage_trace import read_off, worked_out
from finops_cli.foundry.triage_examples import fails
from finops_cli.kb.book import Book
from finops_cli.rules.plan import resolve
from finops_cli.rules.triage import triage

OPENING, CLOSING = "<think>\n", "\n</think>\n\n"
_GIVEN = re.compile(r"(?<=-)\d{8}(?==)|(?<=\n)(?:sequential|parallel)")
"""In the working of a plan: what is taken off, and whether the sources run side by side."""
_LEAST, _MOST = 100, 2_000_000
"""Shares owed in a drill, as in the examples of `foundry.resolver_examples`."""
_CUSIP = "037833100"
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


def resolver_drill(index: int, seed: int, book: Book) -> list[Segment]:
    """The working of a plan without fails to receive: box, depot, recall and borrow of any size."""
    draw = rng(seed, "resolver drill", index)
    case = _case(draw)
    text = tiny_trace(case, resolve(case, book), book)
    worked = text[text.index("\nowed ") + 1 :]
    table = worked.index(" ", len("owed "))
    return [Segment(f"{OPENING}{worked[:table]}", False), *_apart(f"{worked[table:]}{CLOSING}")]


def _apart(text: str) -> Iterator[Segment]:
    end = 0
    for found in _GIVEN.finditer(text):
        yield Segment(text[end : found.start()], True)
        yield Segment(found[0], False)
        end = found.end()
    yield Segment(text[end:], True)


def _case(draw: random.Random) -> ResolverInput:
    owed = int(_LEAST * (_MOST / _LEAST) ** draw.random())
    sizes = [draw.choice((0, 1, 1, 1)) * max(1, int(owed * draw.random() * width)) for width in (1.0, 1.0, 0.8, 0.8)]
    held = Inventory(sizes[0], sizes[3], sizes[2], 0, sizes[1], 0)
    points = WeightedContributions(Decimal(3), Decimal(0), Decimal(0), Decimal(0))
    deadline = draw.choice(("T+13", "T+6"))
    triage = HandoffTriage("CNS_FAIL", "FTD", "OPEN", Decimal(3), "MEDIUM", points, "", "LOCATE_AND_DELIVER", "L1", deadline, ())
    case = ResolverInput(triage, _CUSIP, owed, held, age_days=draw.randint(0, 5))
    return case if held.depot_qty else replace(case, inventory=replace(held, depot_transit_days=None))
