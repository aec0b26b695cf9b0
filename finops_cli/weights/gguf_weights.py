"""Read a GGUF file of a Qwen3 that `finops quantize` wrote, to continue training from its weights.

A quantized weight is read as the number that it represents, so training starts from exactly the
model that `finops run` uses. A block of Q8_0 is a scale in float16, then 32 whole numbers.

Source: ggml's `block_q8_0` (MIT, The ggml authors).
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from finops_cli.errors import UsageError
from finops_cli.models.bundled import MADE_FOR
from finops_cli.models.gguf import KINDS, Head, NotGguf, Placed, read_head
from finops_cli.weights.architecture import Architecture, architecture_from_gguf
from finops_cli.weights.tensor_map import list_tensors

_SUFFIX = ".gguf"
_BLOCK = 32
_FIX = (
    "give a Qwen3 file that finops quantize wrote with --type q8_0, f16 or f32, or the folder"
    " of the model"
)


class _TensorLayout(NamedTuple):
    """The storage of a type."""

    item: Any
    numbers: int
    """The number of weights in one `item`."""


_LAYOUTS = {
    "F32": _TensorLayout(np.dtype("<f4"), 1),
    "F16": _TensorLayout(np.dtype("<f2"), 1),
    "Q8_0": _TensorLayout(np.dtype([("scale", "<f2"), ("numbers", "i1", (_BLOCK,))]), _BLOCK),
}


class GgufTokenizer(
    Struct,
    frozen=True,
    rename=lambda name: f"tokenizer.{'' if name == 'chat_template' else 'ggml.'}{name}",
):
    """The tokenizer of a file."""

    pre: str
    """llama.cpp's name of the pattern that splits texts."""
    tokens: list[str]
    """In the order of their ids."""
    token_type: list[int]
    merges: list[str] = []
    chat_template: str = ""


class GgufWeights(NamedTuple):
    """A complete file: every tensor of its network is present, with its shape and a known type."""

    path: Path
    network: Architecture
    tokenizer: GgufTokenizer
    tensors: dict[str, Placed]
    made_for: str | None
    """The Modelfile whose prompt the model was trained with; None if the file does not record it.
    """


def is_gguf(place: Path) -> bool:
    """Return true if a path names a GGUF file. The file need not exist."""
    return place.suffix == _SUFFIX and not place.is_dir()


def open_gguf_weights(path: Path) -> GgufWeights:
    """Open the file at `path`, without reading its weights.

    Raises UsageError for an incomplete file or another format.
    """
    if not path.is_file():
        here = (
            ""
            if path.is_absolute()
            else f" in {Path.cwd()}; paths of a recipe are relative to the current folder"
        )
        raise UsageError(
            f"{path}: no such GGUF file{here}", "give a file that `finops quantize` wrote"
        )
    try:
        return _read(path)
    except (OSError, NotGguf, msgspec.ValidationError) as error:
        raise UsageError(f"{path} cannot be used as a starting point: {error}", _FIX) from error


def _read(path: Path) -> GgufWeights:
    head = read_head(path)
    if head.pairs.get("general.architecture") != "qwen3":
        raise NotGguf(f"its network is {head.pairs.get('general.architecture')!r:.40}")
    tokenizer = msgspec.convert(head.pairs, GgufTokenizer)
    network = architecture_from_gguf(
        head.pairs, len(tokenizer.tokens), "output.weight" not in head.tensors
    )
    _refuse_unfit(path, head, network)
    made_for = head.pairs.get(MADE_FOR)
    return GgufWeights(
        path=path,
        network=network,
        tokenizer=tokenizer,
        tensors=head.tensors,
        made_for=made_for if isinstance(made_for, str) else None,
    )


def read_weights(file: GgufWeights) -> dict[str, NDArray[np.float32]]:
    """Read all weights, by their names in transformers' Qwen3ForCausalLM.

    Shape of each: the shape of the tensor, float32. Raises UsageError for NaN and infinity.
    """
    found = {
        tensor.source: _read_tensor(file, tensor.name) for tensor in list_tensors(file.network)
    }
    for name, numbers in found.items():
        if not np.isfinite(numbers).all():
            raise UsageError(f"{file.path}: {name} contains NaN or infinity", _FIX)
    return found


def _refuse_unfit(path: Path, head: Head, network: Architecture) -> None:
    """Raise NotGguf unless the file has exactly the tensors of the network, complete."""
    if network.layers > len(head.tensors):
        raise NotGguf(
            f"it should have {network.layers:,} layers, but has {len(head.tensors):,} tensors"
        )
    wanted, size = (
        {tensor.name: tensor.shape for tensor in list_tensors(network)},
        path.stat().st_size,
    )
    for name in sorted(wanted.keys() | head.tensors.keys()):
        shape = wanted.get(name, "none")
        given = head.tensors[name].shape if name in head.tensors else "missing"
        if shape != given:
            raise NotGguf(f"the tensor {name[:80]!r} is {given}, but its network needs {shape}")
        tensor = head.tensors[name]
        layout = _LAYOUTS.get(KINDS.get(tensor.kind, ""))
        if layout is None or tensor.shape[-1] % layout.numbers:
            raise NotGguf(
                f"the tensor {name} is stored as {KINDS.get(tensor.kind, f'type {tensor.kind}')}"
            )
        if tensor.at + _count_items(tensor) * layout.item.itemsize > size:
            raise NotGguf(f"it ends in the middle of the tensor {name}")


def _count_items(tensor: Placed) -> int:
    return prod(tensor.shape) // _LAYOUTS[KINDS[tensor.kind]].numbers


def _read_tensor(file: GgufWeights, name: str) -> NDArray[np.float32]:
    tensor = file.tensors[name]
    layout = _LAYOUTS[KINDS[tensor.kind]]
    with file.path.open("rb") as opened:
        opened.seek(tensor.at)
        read = np.frombuffer(opened.read(_count_items(tensor) * layout.item.itemsize), layout.item)
    if layout.numbers == 1:
        return read.astype(np.float32).reshape(tensor.shape)
    return (read["scale"].astype(np.float32)[:, None] * read["numbers"].astype(np.float32)).reshape(
        tensor.shape
    )
