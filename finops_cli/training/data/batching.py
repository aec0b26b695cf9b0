"""Batches of a stream by tokens: rows of about one length together, so that next to nothing is
padding, and kinds mixed as a recipe says.

The examples of each kind come in their order, pool by pool: a pool is sorted by length, cut into
batches, and the batches are shuffled. No example is lost and none comes twice. What batch follows
what depends on the recipe alone, so a training that goes on finds its place again by making the
batches before it once more.
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
"""Examples that are sorted together."""


class TokenBatches:
    """`made` gives example n of a kind.

    `mix` has the weight of each kind by how far the training is; `tokens` is the size of a batch.
    """

    def __init__(
        self,
        made: Mapping[str, Callable[[int], Encoded]],
        mix: Mapping[str, Points],
        tokens: int,
        count: int,
        seed: int,
    ) -> None:
        self._made, self._mix, self._tokens, self._count, self._seed = (
            made,
            mix,
            tokens,
            count,
            seed,
        )
        for number in range(count):
            if not any(self._weights(number)):
                raise UsageError(
                    f"data.mix has no kind of a weight above 0 at batch {number:,} of {count:,}",
                    "give one a share there",
                )
        self._begin()

    def _begin(self) -> None:
        self._next = 0
        self._draw = random.Random(self._seed)  # noqa: S311 - an order, not a secret
        self._taken = dict.fromkeys(self._mix, 0)
        self._waiting: dict[str, list[list[Encoded]]] = {kind: [] for kind in self._mix}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> list[Encoded]:
        """Batch `number`.

        One after the other is quick; one that lies before the last one makes everything anew.
        """
        if number < self._next:
            self._begin()
        while True:
            batch = self._following()
            if self._next > number:
                return batch

    def _following(self) -> list[Encoded]:
        [kind] = self._draw.choices(list(self._mix), self._weights(self._next))
        waiting = self._waiting[kind]
        if not waiting:
            start = self._taken[kind]
            self._taken[kind] = start + _POOL
            waiting += cut(
                [self._made[kind](index) for index in range(start, start + _POOL)], self._tokens
            )
            self._draw.shuffle(waiting)
        self._next += 1
        return waiting.pop()

    def _weights(self, number: int) -> list[float]:
        return [weight_at(points, number / self._count) for points in self._mix.values()]


def cut(examples: Sequence[Encoded], tokens: int) -> list[list[Encoded]]:
    """`examples` in batches, shortest first; with the padding that it needs none has more than
    `tokens`, but for an example that has alone.
    """
    batches: list[list[Encoded]] = []
    for each in sorted(examples, key=lambda each: len(each.input_ids)):
        if not batches or (len(batches[-1]) + 1) * len(each.input_ids) > tokens:
            batches.append([])
        batches[-1].append(each)
    return batches


def weight_at(points: Points, progress: float) -> float:
    """The weight on the straight line between the points around `progress`; before the first and
    behind the last it stays.
    """
    place = bisect_right([at for at, _ in points], progress)
    if place in (0, len(points)):
        return points[min(place, len(points) - 1)][1]
    (left, before), (right, behind) = points[place - 1 : place + 1]
    return before + (behind - before) * (progress - left) / (right - left)


def collated(items: Sequence[Mapping[str, Any]], padding: int) -> dict[str, Any]:
    """Rows, or the rows of one batch, as tensors.

    Padding stands behind, where causal attention never looks, so no mask is needed.
    """
    rows = [
        row
        for item in items
        for row in item.get("batch", [(item.get("input_ids"), item.get("labels"))])
    ]
    longest = max(len(ids) for ids, _ in rows)
    ids = [list(ids) + [padding] * (longest - len(ids)) for ids, _ in rows]
    labels = [list(labels) + [IGNORED] * (longest - len(labels)) for _, labels in rows]
    places = torch.arange(longest).expand(len(ids), -1)  # TRL wants these or a mask
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "position_ids": places}
