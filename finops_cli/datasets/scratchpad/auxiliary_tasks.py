"""Make auxiliary tasks for the tiny models: the scratchpad without the record and the answer.

An auxiliary task costs a fraction of a whole row and contains only hard parts. Numbers that a model
would read in the record are given, not learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from finops_cli.datasets.reasoning.walkthrough import read
from finops_cli.datasets.sampling import rng
from finops_cli.datasets.scratchpad.digits import LARGEST, divide, render_difference, render_sum
from finops_cli.datasets.scratchpad.resolver import render_input_lines, render_plan_lines
from finops_cli.datasets.scratchpad.short_plan import make_short_plan
from finops_cli.datasets.scratchpad.triage import render_record_lines, render_score_lines
from finops_cli.datasets.splits import first_in_split
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import Resolution, ResolverInput, Step
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.triage import triage

_QUOTIENT_DIGITS = re.compile(r"([+0-]\d{5}[a-d])(\d)x")
_RESULTS = re.compile(r"(?<=[xy]\d{7}=)\d{7}[+0-]")
_OPERATIONS, _DIVISIONS, _ROUNDING = 7, 10, len("12345e5x1234567=1234567+")
_MIN_SHARES = 100
"""The smallest number of shares in an auxiliary task."""

OPENING, CLOSING = "<think>\n", "\n</think>\n\n"
_WORDS, _AMOUNTS = 0.2, 0.25
"""The proportions of copied values that are words, and that are amounts."""
_NAMES = sorted(
    {
        word
        for fields in (FailRecord, Ftr, Inventory, Step, Resolution, Triage)
        for name in fields.__struct_fields__
        for word in name.split("_")
    }
)
"""The words that fields are named with."""


class Piece(NamedTuple):
    """A part of a text. Each piece is tokenised on its own."""

    text: str
    learned: bool
    """The model learns to write this piece."""


class AuxiliaryTask(NamedTuple):
    """The pieces of a text, including its control tokens.

    An auxiliary task has no end-of-answer token.
    """

    id: str
    pieces: tuple[Piece, ...]


def make_copy_task(index: int, seed: int) -> list[Piece]:
    """Make a task that lists named values in one order, then in another.

    It is the first thing that a model can learn.
    """
    draw = rng(seed, "copy drill", index)
    names = draw.sample(_NAMES, draw.randint(4, 11))
    values = {name: _value(draw) for name in names}
    listing = " |".join(f" {name}:{values[name]}" for name in names)
    pieces = [Piece(f"{listing} |\n", False)]
    for name in draw.sample(names, len(names)):
        pieces += [
            Piece(f" {name}{draw.choice(('', ':'))}", False),
            Piece(f"{values[name]} |", True),
        ]
    return pieces


def _value(draw: random.Random) -> str:
    """Draw a word, an amount with commas, or a number that may contain a sign."""
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
    """Draw an amount of one to seven digits. Half of them end in zeros."""
    amount = draw.randrange(10 ** draw.randint(1, 7))
    zeros: int = 10 ** draw.choice((0, 0, 2, 3))
    return amount // zeros * zeros or amount


def make_triage_task(index: int, seed: int, kb: KnowledgeBase) -> list[Piece]:
    """Make a task that gives the record lines. The score and the state are learned."""
    record = first_in_split(fails(index, seed, kb, "coverage"), index, kb.datasets.eval_every)
    answer = triage(record, kb)
    given = render_record_lines(record, answer, kb)
    learned = render_score_lines(record, answer, kb)
    return [Piece(f"{OPENING}{given}", False), Piece(f"\n{learned}{CLOSING}", True)]


def make_resolver_task(case: ResolverInput, kb: KnowledgeBase) -> list[Piece]:
    """Make a task that gives the case lines. The scratchpad of the plan is learned."""
    reading = read(case, make_short_plan(case, kb), kb)
    given = "\n".join(render_input_lines(reading))
    lines = "\n".join(render_plan_lines(reading))
    table = lines.index(">")
    return [
        Piece(f"{OPENING}{given}\n{lines[:table]}", False),
        Piece(f"{lines[table:]}{CLOSING}", True),
    ]


def make_quotient_digit_task(index: int, seed: int) -> list[Piece]:
    """Make a task of the quotient digits of divisions and of the percentages.

    The arithmetic between them is given.
    """
    draw = rng(seed, "guess drill", index)
    pieces = [Piece(OPENING, False)]
    for _ in range(_DIVISIONS):
        divisor = _shares(draw)
        division = divide(draw.randrange(divisor), divisor, 4)
        for before, digit in _QUOTIENT_DIGITS.findall(division.working):
            pieces += [Piece(before, False), Piece(f"{digit}x", True)]
        rounded = division.working[-_ROUNDING:]
        pieces += [
            Piece(rounded, False),
            Piece(f" {Decimal(10_000 - division.quotient) / 100:.2f}\n", True),
        ]
    return pieces


def make_arithmetic_task(index: int, seed: int) -> list[Piece]:
    """Make a task of differences, sums and the blocks of divisions, with numbers of any size.

    The operands are given; the results are learned.
    """
    draw = rng(seed, "reckoning drill", index)
    pieces = [Piece(OPENING, False)]
    for _ in range(_OPERATIONS):
        a, b, kind = _shares(draw), _shares(draw), draw.random()
        if kind < 0.5:
            operation = (
                render_difference(min(a, b), max(a, b))
                if draw.random() < 0.85
                else render_difference(max(a, b), min(a, b))
            )
        elif kind < 0.6:
            operation = render_sum(a, b)
        else:
            pieces += _blocks(divide(draw.randrange(a), a, 4).working)
            continue
        result = operation.index(">") + 1
        pieces += [Piece(operation[:result], False), Piece(f"{operation[result:]}\n", True)]
    return pieces


def _blocks(working: str) -> Iterator[Piece]:
    end = 0
    for found in _RESULTS.finditer(working):
        yield Piece(working[end : found.start()], False)
        yield Piece(found[0], True)
        end = found.end()
    yield Piece("\n", False)


def _shares(draw: random.Random) -> int:
    return int(_MIN_SHARES * (LARGEST / _MIN_SHARES) ** draw.random())
