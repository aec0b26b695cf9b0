"""A LoRA adapter as PEFT saves it, merged into weights a few rows at a time: W + scale * B A, in
float32.

The sum over the rank is taken rank by rank, each product and each sum rounded as IEEE says, so that
equal files give equal bytes on any machine; a matrix product of a BLAS library does not. What this
does not do is refused by name, also settings of PEFT that are not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finops_cli.errors import UsageError
from finops_cli.weights.checkpoint import number_in, read_json, text_name
from finops_cli.weights.safetensors import Tensor, tensors_of
from finops_cli.weights.tensor_map import TensorSpec

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_SPEAKS_OF_TRAINING = frozenset(
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
"""Settings that do not change what the saved weights mean, or that are read below."""
_ONLY: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}
"""Settings with the values that are merged here.

Other ways to begin change the base as well, so that it is no longer the original.
"""


class Pair(NamedTuple):
    """What is added to one tensor: `scale` times `b` (rows, rank) by `a` (rank, columns)."""

    a: Tensor
    b: Tensor
    scale: float


class Adapter(NamedTuple):
    """`pairs` by the name of the tensor that each is added to."""

    rank: int
    alpha: float
    pairs: dict[str, Pair]
    files: tuple[Path, ...]


def read_adapter(folder: Path) -> Adapter:
    """The adapter in `folder`.

    Raises UsageError when it is none, or asks for more than is merged here.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", f"give the one with {SETTINGS}")
    config = read_json(folder / SETTINGS)
    _refuse_unknown(folder / SETTINGS, config)
    rank, alpha = config.get("r"), number_in(config, "lora_alpha")
    if type(rank) is not int or rank < 1 or alpha is None:
        raise UsageError(
            f"{folder / SETTINGS}: r is {rank!r} and lora_alpha {config.get('lora_alpha')!r:.40};"
            " numbers are expected"
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UsageError(f"{weights}: no such file", "save the adapter as safetensors")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(rank, alpha, _pairs(weights, rank, scale), (folder / SETTINGS, weights))


def refuse_unmergeable(adapter: Adapter, wanted: Iterable[TensorSpec]) -> None:
    """Raises UsageError when the adapter does not fit the network: another tensor, another
    shape.
    """
    shapes = {tensor.source: tensor.given for tensor in wanted}
    for name, pair in adapter.pairs.items():
        shape = shapes.get(name)
        made = (pair.b.shape[0], pair.a.shape[1])
        if shape is None or len(shape) != len(made) or name == "model.embed_tokens.weight":
            raise UsageError(
                f"{pair.a.path}: changes {name}, which is no matrix of this network; was it trained"
                " on another model?"
            )
        if shape != made:
            raise UsageError(
                f"{pair.a.path}: changes {name} as {made}, but it is {shape}; was it trained on"
                " another model?"
            )


class Merging:
    """The addition of one pair: `a` and `b` are in memory while its tensor is written, as
    float32.
    """

    def __init__(self, pair: Pair) -> None:
        self._a, self._b = (side.as_float32(side.stored()[:]) for side in (pair.a, pair.b))
        self._scale = np.float32(pair.scale)

    def added_to(self, block: Any, rows: Any) -> Any:
        """`block`, which is the rows `rows` of the tensor as float32, with what the adapter adds to
        them.
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
                f"{path}: {key} is {config[key]!r}; {', '.join(map(str, accepted))} can be merged"
                " here"
            )
    for key, value in config.items():
        if value and key not in _ONLY and key not in _SPEAKS_OF_TRAINING:
            raise UsageError(
                f"{path}: {key} is {value!r}; an adapter with it cannot be merged here: train"
                " without, or merge it by PEFT"
            )


def _pairs(path: Path, rank: int, scale: float) -> dict[str, Pair]:
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors_of(path).items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise UsageError(
                f"{path}: {name} is not of a plain LoRA (lora_A, lora_B); it cannot be merged here"
            )
        known = text_name(f"{found['module']}.weight")
        if found["side"] in sides.setdefault(known, {}):
            raise UsageError(f"{path}: {known} is changed twice")
        sides[known][found["side"]] = tensor
    if not sides:
        raise UsageError(f"{path}: changes nothing; was the training interrupted?")
    for name, of in sides.items():
        if set(of) != {"A", "B"}:
            raise UsageError(
                f"{path}: {name} has lora_{'A' if 'A' in of else 'B'} alone",
                "save the adapter again",
            )
        if (
            len(of["A"].shape) != 2
            or len(of["B"].shape) != 2
            or of["A"].shape[0] != rank
            or of["B"].shape[1] != rank
        ):
            raise UsageError(
                f"{path}: {name} has the shapes {of['B'].shape} and {of['A'].shape}; the rank is"
                f" {rank}"
            )
    return {name: Pair(of["A"], of["B"], scale) for name, of in sides.items()}
