"""Labelled financial sentences for the third model.

A sentence depends only on seed, split and index.

Twelve consecutive sentences contain each register with each label once, so proportions are exact at
any length. Texts never repeat: within a template and a split, no value of its key is used twice,
and a digest of the text selects its split.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from finops_cli.datasets.sampling import deal_evenly, rng
from finops_cli.datasets.sentiment.grammar import (
    REGISTERS,
    Cell,
    Grammar,
    Register,
    Template,
)
from finops_cli.datasets.splits import Split, split_of
from finops_cli.domain.sentiment import LABELS, Label
from finops_cli.errors import KnowledgeError

BLOCK = len(REGISTERS) * len(LABELS)
EVAL_EVERY = 5
"""One text in five belongs to the eval split."""
_BEGINNING = re.compile(r"(?:^|(?<=[.?] ))[a-z]")
"""The first letter of a sentence, which a slot may have filled with a lower-case word."""
_BY_TEMPLATE = ("calibration", "test")
"""Splits whose templates are in no other split that a model learns from."""
_DRAWS = 2_000
"""Maximum number of draws, far above the need: one draw in five falls into the eval split."""


class Sentence(Struct, frozen=True):
    """A sentence with its label."""

    text: str
    label: Label
    register: Register | Literal["phrasebank"]
    template: str
    """An id of the grammar; empty for a user's own sentence."""


def text_split(text: str) -> Split:
    """Return the split that a text belongs to, by its SHA-256."""
    return split_of(hashlib.sha256(text.encode()).digest(), EVAL_EVERY)


SentenceSplit = Split | Literal["calibration", "test"]
"""The splits of the training files, and those that are never in a file: see `_pools`."""


def sentence(index: int, seed: int, split: SentenceSplit, grammar: Grammar) -> Sentence:
    """Make sentence `index` of a split, counted from 0."""
    block, place = divmod(index, BLOCK)
    register, label = _place(place, block, seed, split)
    cell = list(grammar.cells).index((register, label))
    template, visit = _template(grammar.cells[register, label], block, cell, seed, split)
    key = _key(template, visit, seed, split)
    draw = rng(seed, f"sentiment {split}", index)
    for _ in range(_DRAWS):
        text = _text(template, key, draw)
        if split in _BY_TEMPLATE or text_split(text) == split:
            return Sentence(text, label, register, template.id)
    raise KnowledgeError(
        f"template {template.id}: no text for the {split} split in {_DRAWS:,} draws",
        "add slots to the template",
    )


def surely_distinct(split: SentenceSplit, grammar: Grammar) -> int:
    """Return the number of sentences up to which no text of a split repeats.

    Beyond it, keys repeat and only the other slots differ.
    """
    pools = [pool for cell in grammar.cells.values() for pool in _pools(cell, split)]
    visits = min(len(pool) * min(template.keys() for template in pool) for pool in pools)
    return BLOCK * (2 * visits - 1) if split == "eval" else BLOCK * visits


def _place(place: int, block: int, seed: int, split: SentenceSplit) -> tuple[Register, Label]:
    """Return the register and label at a place of a block.

    Labels repeat every three places and registers every four, so every twelve contain each pair
    once. The block decides the order.
    """
    registers, labels = _order(block, seed, split)
    return registers[place % len(registers)], labels[place % len(labels)]


@lru_cache(maxsize=64)
def _order(block: int, seed: int, split: SentenceSplit) -> tuple[list[Register], list[Label]]:
    order = rng(seed, f"sentiment {split} order", block)
    labels, registers = list(LABELS), list(REGISTERS)
    order.shuffle(labels)
    order.shuffle(registers)
    return registers, labels


def _pools(cell: Cell, split: SentenceSplit) -> tuple[tuple[Template, ...], ...]:
    """Return the templates of a split, in pools that have equal parts of it.

    The eval split watches a training run, so it has templates that training does not see. The
    templates of the test split decide nothing: they only measure.
    """
    pools: dict[SentenceSplit, tuple[tuple[Template, ...], ...]] = {
        "train": (cell.train,),
        "eval": (cell.train, cell.calibration),
        "calibration": (cell.calibration,),
        "test": (cell.test,),
    }
    return pools[split]


def _template(
    cell: Cell, block: int, number: int, seed: int, split: SentenceSplit
) -> tuple[Template, int]:
    """Return the template for a cell in a block, and the number of its earlier uses.

    Eval blocks take half of their cells from each pool.
    """
    pools = _pools(cell, split)
    turn, which = divmod(block + number % len(pools), len(pools))
    pool = pools[which]
    name = f"sentiment {split} {pool[0].register} {pool[0].label} {which}"
    return deal_evenly(pool, seed, name, turn), turn // len(pool)


def _key(template: Template, visit: int, seed: int, split: SentenceSplit) -> int:
    """Return the key of a visit.

    Steps that share no divisor with the number of keys reach every key once before any repeats.
    """
    keys = template.keys()
    start, step = _walk(keys, template.id, seed, split)
    return (start + step * visit) % keys


@lru_cache(maxsize=4096)
def _walk(keys: int, template: str, seed: int, split: SentenceSplit) -> tuple[int, int]:
    """Return the first key of a template, and the step to the next."""
    draw = rng(seed, f"sentiment {split} keys {template}", 0)
    start = draw.randrange(keys)
    step = draw.randrange(1, keys)
    while math.gcd(step, keys) != 1:
        step = draw.randrange(1, keys)
    return start, step


def _text(template: Template, key: int, draw: random.Random) -> str:
    first, *others = template.fillers
    values = first.fill(draw, key)
    for filler in others:
        values.update(filler.fill(draw, None))
    text = "".join(
        values[piece] if place % 2 else piece for place, piece in enumerate(template.pieces)
    )
    return _BEGINNING.sub(lambda found: found.group().upper(), text)
