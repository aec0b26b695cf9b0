"""Merges a LoRA adapter of PEFT into weights, a few rows at a time: W + scale * B A, in float32.

The sum runs rank by rank, with each product and sum rounded as IEEE 754 says. So equal files give
equal bytes on any machine, which a matrix product of a BLAS library does not. Unsupported and
unknown settings of PEFT are refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finops_cli.errors import UsageError
from finops_cli.weights.checkpoint import read_json, read_number, text_model_name
from finops_cli.weights.safetensors import Tensor, read_tensors
from finops_cli.weights.tensor_map import TensorSpec

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_IRRELEVANT = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "ensure_weight_tying",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "r",
        "revision",
        "target_modules",
        "task_type",
        "use_rslora",
    }
)
"""Settings that do not change the meaning of the saved weights, or that are read below."""
_ONLY: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}
"""Settings with the supported values. Other initialisations change the base as well."""


class LoraPair(NamedTuple):
    """The change of one tensor: `scale` times `b` (rows, rank) times `a` (rank, columns)."""

    a: Tensor
    b: Tensor
    scale: float


class LoraAdapter(NamedTuple):
    """A LoRA adapter."""

    rank: int
    alpha: float
    pairs: dict[str, LoraPair]
    """By the name of the tensor that is changed."""
    files: tuple[Path, ...]


def read_adapter(folder: Path) -> LoraAdapter:
    """Read the adapter in `folder`.

    Raises UsageError when it is not an adapter or has unsupported settings.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder. Expected the folder with {SETTINGS}.")
    config = read_json(folder / SETTINGS)
    _refuse_unknown(folder / SETTINGS, config)
    rank, alpha = config.get("r"), read_number(config, "lora_alpha")
    if type(rank) is not int or rank < 1 or alpha is None:
        raise UsageError(
            f"{folder / SETTINGS}: r is {rank!r} and lora_alpha {config.get('lora_alpha')!r:.40}."
            " Expected numbers."
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UsageError(f"{weights}: no such file", "save the adapter as safetensors")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return LoraAdapter(rank, alpha, _read_pairs(weights, rank, scale), (folder / SETTINGS, weights))


def refuse_unmergeable(adapter: LoraAdapter, wanted: Iterable[TensorSpec]) -> None:
    """Raises UsageError when the adapter has a tensor or shape that the network does not have."""
    shapes = {tensor.source: tensor.source_shape for tensor in wanted}
    for name, pair in adapter.pairs.items():
        shape = shapes.get(name)
        made = (pair.b.shape[0], pair.a.shape[1])
        if shape is None or len(shape) != len(made) or name == "model.embed_tokens.weight":
            raise UsageError(
                f"{pair.a.path} changes {name}, which is not a matrix of this network; was it"
                " trained"
                " on another model?",
                "give the model that the adapter was trained on",
            )
        if shape != made:
            raise UsageError(
                f"{pair.a.path} changes {name} with the shape {made}, but its shape is {shape}; was"
                " it trained on another model?",
                "give the model that the adapter was trained on",
            )


class LoraMerge:
    """Adds one pair to its tensor. `a` and `b` are in memory meanwhile, as float32."""

    def __init__(self, pair: LoraPair) -> None:
        self._a, self._b = (side.as_float32(side.stored()[:]) for side in (pair.a, pair.b))
        self._scale = np.float32(pair.scale)

    def add_to(
        self, block: NDArray[np.float32], rows: slice | NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Return `block`, the rows `rows` of the tensor, with the change of the adapter added.

        Shape: (rows, columns) float32.
        """
        b = self._b[rows]
        total = np.zeros_like(block)
        for rank in range(self._a.shape[0]):
            total += b[:, rank, None] * self._a[rank]
        return block + self._scale * total


def _refuse_unknown(path: Path, config: dict[str, Any]) -> None:
    for key, accepted in _ONLY.items():
        if config.get(key, accepted[0]) not in accepted:
            raise UsageError(
                f"{path}: {key} is {config[key]!r}. Expected one of:"
                f" {', '.join(map(str, accepted))}."
            )
    for key, value in config.items():
        if value and key not in _ONLY and key not in _IRRELEVANT:
            raise UsageError(
                f"{path}: {key} is {value!r}, which is not supported",
                "train without it, or merge the adapter with PEFT",
            )


def _read_pairs(path: Path, rank: int, scale: float) -> dict[str, LoraPair]:
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(path).items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise UsageError(
                f"{path}: {name} is not part of a plain LoRA adapter (lora_A, lora_B)",
                "give an adapter that `finops train` wrote",
            )
        known = text_model_name(f"{found['module']}.weight")
        if found["side"] in sides.setdefault(known, {}):
            raise UsageError(
                f"{path} changes {known} twice", "give an adapter that `finops train` wrote"
            )
        sides[known][found["side"]] = tensor
    if not sides:
        raise UsageError(
            f"{path} changes nothing; was the training interrupted?", "train the adapter again"
        )
    for name, pair in sides.items():
        if set(pair) != {"A", "B"}:
            raise UsageError(
                f"{path}: {name} has only lora_{'A' if 'A' in pair else 'B'}",
                "save the adapter again",
            )
        if (
            len(pair["A"].shape) != 2
            or len(pair["B"].shape) != 2
            or pair["A"].shape[0] != rank
            or pair["B"].shape[1] != rank
        ):
            raise UsageError(
                f"{path}: {name} has the shapes {pair['B'].shape} and {pair['A'].shape}; the rank"
                " is"
                f" {rank}",
                "give an adapter that `finops train` wrote",
            )
    return {name: LoraPair(pair["A"], pair["B"], scale) for name, pair in sides.items()}
