"""How long rows are in tokens, and what packing makes of their lengths."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.drills import Drill
from finops_cli.models.prompts import Conversation
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.training.data.formats import Example
from finops_cli.training.recipe_schema import Training

_SHOWN_PERCENT = (50, 90, 99, 100)
_END_OF_TURN = 2
"""Tokens behind an answer: the one that ends it, and a line end."""


class Lengths(Struct, frozen=True):
    """Tokens of the rows of a split, prompt and answer together; `percentiles` by nearest rank, the
    last one is the longest row.
    """

    rows: int
    tokens: int
    percentiles: dict[str, int]
    too_long: int


def summary(lengths: Sequence[int], longest: int) -> Lengths:
    """What `lengths` come to; `longest` is the length that fits."""
    rising = sorted(lengths)
    ranks = {
        f"p{percent}": rising[math.ceil(percent / 100 * len(rising)) - 1]
        for percent in _SHOWN_PERCENT
    }
    return Lengths(len(rising), sum(rising), ranks, sum(length > longest for length in rising))


def estimated_length(example: Example) -> int:
    """An upper estimate of the tokens of an example, without a tokenizer."""
    if isinstance(example, Drill):
        return sum(estimated_tokens(piece.text) for piece in example.pieces)
    row = example
    return (
        estimated_tokens(prompt_text(row))
        + estimated_tokens(row.completion[0].content)
        + _END_OF_TURN
    )


def prompt_text(row: Row) -> str:
    """The prompt as inference sends it (`models.prompts`).

    A row without a system turn is sent by a template of its model's own.
    """
    said = {message.role: message.content for message in row.prompt}
    if "system" not in said:
        return said["user"]
    return Conversation(said["system"], said["user"], row.chat_template_kwargs.enable_thinking).text


def packed_blocks(lengths: Sequence[int], room: int) -> int:
    """Into how many sequences of `room` tokens rows are packed: best-fit decreasing, as TRL packs
    (`packing_strategy="bfd"`).

    A row that is longer than `room` counts as one that fills it.
    """
    spaces: list[int] = []  # what the begun blocks have left, rising
    blocks = 0
    for length in sorted((min(length, room) for length in lengths), reverse=True):
        fitting = bisect_left(spaces, length)
        if fitting == len(spaces):
            blocks += 1
            insort(spaces, room - length)
        else:
            insort(spaces, spaces.pop(fitting) - length)
    return blocks


class Steps(NamedTuple):
    """Optimizer steps of a whole training, and how many of them warm up."""

    total: int
    warm_up: int


def steps(sequences: int, training: Training) -> Steps:
    """Steps for `sequences` a epoch (rows, or packed blocks), counted as transformers' Trainer
    counts them.
    """
    total = training.max_steps
    if total is None:
        batches = math.ceil(sequences / training.batch)
        total = math.ceil(training.epochs * max(1, math.ceil(batches / training.accumulation)))
    warm_up = int(training.warmup) if training.warmup >= 1 else math.ceil(total * training.warmup)
    return Steps(total, warm_up)
