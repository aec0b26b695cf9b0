"""Batches of a stream by tokens. Rows of similar length are together, so that little padding is
needed.

The examples of each kind come in order, in pools. A pool is sorted by length and cut into batches,
and the batches are shuffled. No example is lost or repeated. The order depends only on the recipe,
so a resumed training run finds its position by making the earlier batches again.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from finops_cli.errors import UsageError
from finops_cli.training.data.row_checks import IGNORED, Encoded

Points = Sequence[tuple[float, float]]
_POOL = 128
"""Number of examples that are sorted together."""


class TokenBatches:
    """The batches of a training run, by number.

    `make` returns example n of a kind. `mix` has the weight of each kind over the run. `tokens` is
    the size of a batch, and `count` is the number of batches.
    """

    def __init__(
        self,
        make: Mapping[str, Callable[[int], Encoded]],
        mix: Mapping[str, Points],
        tokens: int,
        count: int,
        seed: int,
    ) -> None:
        self._make, self._mix = make, mix
        self._tokens, self._count, self._seed = tokens, count, seed
        for number in range(count):
            if not any(self._weights(number)):
                raise UsageError(
                    f"data.mix: every kind has weight 0 at batch {number:,} of {count:,}."
                    " Expected one above 0."
                )
        self._restart()

    def _restart(self) -> None:
        self._next = 0
        self._draw = random.Random(self._seed)  # noqa: S311 - an order, not a secret
        self._taken = dict.fromkeys(self._mix, 0)
        self._waiting: dict[str, list[list[Encoded]]] = {kind: [] for kind in self._mix}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> list[Encoded]:
        """Return batch `number`.

        Reading in order is fast. Reading an earlier batch makes all batches before it again.
        """
        if number < self._next:
            self._restart()
        while True:
            batch = self._next_batch()
            if self._next > number:
                return batch

    def _next_batch(self) -> list[Encoded]:
        [kind] = self._draw.choices(list(self._mix), self._weights(self._next))
        waiting = self._waiting[kind]
        if not waiting:
            start = self._taken[kind]
            self._taken[kind] = start + _POOL
            waiting += cut_into_batches(
                [self._make[kind](index) for index in range(start, start + _POOL)], self._tokens
            )
            self._draw.shuffle(waiting)
        self._next += 1
        return waiting.pop()

    def _weights(self, number: int) -> list[float]:
        return [weight_at(points, number / self._count) for points in self._mix.values()]


def cut_into_batches(examples: Sequence[Encoded], tokens: int) -> list[list[Encoded]]:
    """Cut `examples` into batches, shortest first.

    A batch with its padding has at most `tokens` tokens, unless a single example is longer.
    """
    batches: list[list[Encoded]] = []
    for each in sorted(examples, key=lambda each: len(each.input_ids)):
        if not batches or (len(batches[-1]) + 1) * len(each.input_ids) > tokens:
            batches.append([])
        batches[-1].append(each)
    return batches


def weight_at(points: Points, progress: float) -> float:
    """Interpolate the weight at `progress`; outside the points it is constant."""
    place = bisect_right([at for at, _ in points], progress)
    if place in (0, len(points)):
        return points[min(place, len(points) - 1)][1]
    (left, before), (right, behind) = points[place - 1 : place + 1]
    return before + (behind - before) * (progress - left) / (right - left)


def collate(items: Sequence[Mapping[str, Any]], padding: int) -> dict[str, Any]:
    """Make tensors of rows, or of the rows of one batch.

    Padding is at the end, where causal attention does not look, so no mask is needed. Shape: (rows,
    longest row), int64.
    """
    rows = [
        row
        for item in items
        for row in item.get("batch", [(item.get("input_ids"), item.get("labels"))])
    ]
    longest = max(len(ids) for ids, _ in rows)
    ids = [list(ids) + [padding] * (longest - len(ids)) for ids, _ in rows]
    labels = [list(labels) + [IGNORED] * (longest - len(labels)) for _, labels in rows]
    places = torch.arange(longest).expand(len(ids), -1)  # TRL needs these or a mask
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "position_ids": places}
