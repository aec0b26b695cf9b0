"""An optimizer that combines Muon, for the matrices of the layers, and Adam, for all other weights.

It is a single optimizer so that a checkpoint contains all of its state. Muon makes the averaged
gradient of a matrix nearly orthogonal before each step. torch's own Muon computes in bfloat16,
which on a processor takes as long as the rest of a step. This one uses 32 bits and stacks matrices
of equal shape.

Source: Keller Jordan, 2024, https://kellerjordan.github.io/posts/muon
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from finops_cli.training.recipe_schema import Training

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration that brings singular values near 1, from its author."""
_SMALL = 1e-7
_EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for groups with a `momentum`, and Adam for groups with `betas`.

    Weight decay is decoupled in both.
    """

    def step(self, closure: None = None) -> None:
        """Update all weights that have a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                weights = [each for each in group["params"] if each.grad is not None]
                for each in weights:
                    each.mul_(1 - group["lr"] * group["weight_decay"])
                (self._orthogonal if "momentum" in group else self._adam)(group, weights)

    def _orthogonal(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        momentum = group["momentum"]
        alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for each in weights:
            alike[tuple(sorted(each.shape))].append(each)
        for matrices in alike.values():
            wanted = []
            for each in matrices:
                average = (
                    self.state[each]
                    .setdefault("average", torch.zeros_like(each))
                    .lerp_(each.grad, 1 - momentum)
                )
                wanted.append(_as_wide_matrix(each.grad.lerp(average, momentum)))
            for each, direction in zip(
                matrices, _orthogonalise(torch.stack(wanted), group["iterations"]), strict=True
            ):
                rows, columns = each.shape
                each.add_(
                    direction if rows <= columns else direction.T,
                    alpha=-group["lr"] * max(1, rows / columns) ** 0.5,
                )

    def _adam(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        first, second = group["betas"]
        for each in weights:
            state = self.state[each]
            mean = state.setdefault("mean", torch.zeros_like(each)).lerp_(each.grad, 1 - first)
            square = state.setdefault("square", torch.zeros_like(each)).lerp_(
                each.grad.square(), 1 - second
            )
            state["steps"] = state.get("steps", 0) + 1
            spread = (square / (1 - second ** state["steps"])).sqrt_().add_(_EPSILON)
            each.addcdiv_(mean, spread, value=-group["lr"] / (1 - first ** state["steps"]))


def _as_wide_matrix(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _orthogonalise(matrices: Tensor, iterations: int) -> Tensor:
    """Bring the singular values of each matrix near 1 (Newton-Schulz).

    Shape: (matrices, rows, columns).
    """
    a, b, c = _QUINTIC
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + _SMALL)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x


def make_muon(named: Iterable[tuple[str, Tensor]], training: Training) -> Muon | None:
    """Make the optimizer for the weights of a model by name; None for a recipe without Muon."""
    muon = training.muon
    if muon is None:
        return None
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weights in named:
        (matrices if ".layers." in name and weights.ndim == 2 else others).append(weights)
    by_muon = {
        "params": matrices,
        "lr": muon.rate,
        "momentum": muon.momentum,
        "iterations": muon.iterations,
    }
    by_adam = {"params": others, "lr": training.learning_rate, "betas": muon.betas}
    return Muon([by_muon, by_adam], {"weight_decay": training.weight_decay})
