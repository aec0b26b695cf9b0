"""Lengths of rows in tokens, and the steps and packed sequences that follow from them."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from finops_cli.datasets.rows import Row
from finops_cli.datasets.scratchpad.auxiliary_tasks import AuxiliaryTask
from finops_cli.models.prompts import Conversation
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.training.data.formats import Example
from finops_cli.training.recipe_schema import Training

_PERCENTILES = (50, 90, 99, 100)
_END_OF_TURN = 2
"""Number of tokens after an answer: the end-of-turn token and a line end."""


class Lengths(Struct, frozen=True, kw_only=True):
    """Lengths of the rows of a split in tokens, prompt and answer together."""

    rows: int
    tokens: int
    percentiles: dict[str, int]
    """By nearest rank; p100 is the longest row."""
    too_long: int
    """Number of rows longer than `training.max_length`."""


def summarise_lengths(lengths: Sequence[int], longest: int) -> Lengths:
    """Summarise `lengths`. A row longer than `longest` is too long."""
    rising = sorted(lengths)
    ranks = {
        f"p{percent}": rising[math.ceil(percent / 100 * len(rising)) - 1]
        for percent in _PERCENTILES
    }
    return Lengths(
        rows=len(rising),
        tokens=sum(rising),
        percentiles=ranks,
        too_long=sum(length > longest for length in rising),
    )


def estimate_length(example: Example) -> int:
    """Estimate an upper limit of the tokens of an example, without a tokenizer."""
    if isinstance(example, AuxiliaryTask):
        return sum(estimated_tokens(piece.text) for piece in example.pieces)
    row = example
    return (
        estimated_tokens(render_prompt(row))
        + estimated_tokens(row.completion[0].content)
        + _END_OF_TURN
    )


def render_prompt(row: Row) -> str:
    """Render the prompt as inference sends it (`models.prompts`).

    Without a system message the prompt is the user's text, and the model's own template adds the
    rest.
    """
    texts = {message.role: message.content for message in row.prompt}
    if "system" not in texts:
        return texts["user"]
    return Conversation(
        texts["system"], texts["user"], row.chat_template_kwargs.enable_thinking
    ).text


def count_packed_blocks(lengths: Sequence[int], block_size: int) -> int:
    """Count the sequences of `block_size` tokens that rows are packed into.

    Packing is best-fit decreasing, as in TRL (`packing_strategy="bfd"`). A row longer than
    `block_size` fills one sequence.
    """
    spaces: list[int] = []  # free tokens of the open blocks, rising
    blocks = 0
    for length in sorted((min(length, block_size) for length in lengths), reverse=True):
        fitting = bisect_left(spaces, length)
        if fitting == len(spaces):
            blocks += 1
            insort(spaces, block_size - length)
        else:
            insort(spaces, spaces.pop(fitting) - length)
    return blocks


class Steps(NamedTuple):
    """Number of optimizer steps of a training run, and of its warm-up steps."""

    total: int
    warm_up: int


def count_steps(sequences: int, training: Training) -> Steps:
    """Count the steps for `sequences` (rows or packed blocks) per epoch, as transformers does."""
    total = training.max_steps
    if total is None:
        batches = math.ceil(sequences / training.batch)
        total = math.ceil(training.epochs * max(1, math.ceil(batches / training.accumulation)))
    warm_up = int(training.warmup) if training.warmup >= 1 else math.ceil(total * training.warmup)
    return Steps(total, warm_up)
