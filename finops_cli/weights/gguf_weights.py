"""A GGUF file of a Qwen3, as `finops quantize` writes it, taken up again: its network, its words,
and its weights to be trained on.

A quantized weight is the number that it stands for, so a training begins with the model that
answers at the desk, to the bit. The layout of a block of Q8_0 restates ggml's `block_q8_0` (MIT,
The ggml authors): a scale in float16, then 32 whole numbers.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.models.bundled import MADE_FOR
from finops_cli.models.gguf import KINDS, Head, NotGguf, Placed, read_head
from finops_cli.weights.architecture import Architecture, network_of
from finops_cli.weights.tensor_map import tensor_specs

_SUFFIX = ".gguf"
_BLOCK = 32
_CURE = (
    "give a file that finops quantize wrote of a Qwen3 with --type q8_0, f16 or f32, or the folder"
    " of the model"
)


class _Layout(NamedTuple):
    """How the numbers of a kind lie in a file: so many `numbers` in each `item`."""

    item: Any
    numbers: int


_LAYOUTS = {
    "F32": _Layout(np.dtype("<f4"), 1),
    "F16": _Layout(np.dtype("<f2"), 1),
    "Q8_0": _Layout(np.dtype([("scale", "<f2"), ("numbers", "i1", (_BLOCK,))]), _BLOCK),
}


class Words(
    Struct,
    frozen=True,
    rename=lambda name: f"tokenizer.{'' if name == 'chat_template' else 'ggml.'}{name}",
):
    """The vocabulary of a file: `tokens` by their numbers, each of a `token_type`; how texts are
    parted, and merged.
    """

    pre: str
    tokens: list[str]
    token_type: list[int]
    merges: list[str] = []
    chat_template: str = ""


class GgufWeights(NamedTuple):
    """A file that is whole: every tensor of its network is there, in its shape, in numbers that are
    read here.

    `made_for`: the Modelfile that its model was trained to be asked by, where it says so.
    """

    path: Path
    network: Architecture
    words: Words
    tensors: dict[str, Placed]
    made_for: str | None


def is_gguf(place: Path) -> bool:
    """Whether a place is meant to be a GGUF file, be it there or not."""
    return place.suffix == _SUFFIX and not place.is_dir()


def open_gguf_weights(path: Path) -> GgufWeights:
    """The file at `path`, none of its weights read yet.

    Raises UsageError for one that is not whole, or of another kind.
    """
    if not path.is_file():
        here = (
            ""
            if path.is_absolute()
            else f" in {Path.cwd()}; paths of a recipe count from where finops is called"
        )
        raise UsageError(f"{path}: no such GGUF file{here}")
    try:
        return _opened(path)
    except (OSError, NotGguf, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: cannot be taken up again: {error}", _CURE) from error


def _opened(path: Path) -> GgufWeights:
    head = read_head(path)
    if head.pairs.get("general.architecture") != "qwen3":
        raise NotGguf(f"its network is {head.pairs.get('general.architecture')!r:.40}")
    words = msgspec.convert(head.pairs, Words)
    network = network_of(head.pairs, len(words.tokens), "output.weight" not in head.tensors)
    _refuse_unfit(path, head, network)
    said = head.pairs.get(MADE_FOR)
    return GgufWeights(path, network, words, head.tensors, said if isinstance(said, str) else None)


def weights_of(file: GgufWeights) -> dict[str, Any]:
    """All weights in float32, under the names of transformers' Qwen3ForCausalLM.

    Raises UsageError for a number that is none.
    """
    found = {tensor.source: _numbers(file, tensor.name) for tensor in tensor_specs(file.network)}
    for name, numbers in found.items():
        if not np.isfinite(numbers).all():
            raise UsageError(
                f"{file.path}: {name} holds numbers that are none (NaN or infinite)", _CURE
            )
    return found


def _refuse_unfit(path: Path, head: Head, network: Architecture) -> None:
    """Raises NotGguf unless the tensors are those of the network, and the file as long as they need
    it to be.
    """
    if network.layers > len(head.tensors):
        raise NotGguf(
            f"it tells of {network.layers:,} layers, and has {len(head.tensors):,} tensors"
        )
    wanted, size = (
        {tensor.name: tensor.shape for tensor in tensor_specs(network)},
        path.stat().st_size,
    )
    for name in sorted(wanted.keys() | head.tensors.keys()):
        shape = wanted.get(name, "none")
        given = head.tensors[name].shape if name in head.tensors else "missing"
        if shape != given:
            raise NotGguf(f"the tensor {name[:80]!r} is {given}, where its head makes it {shape}")
        tensor = head.tensors[name]
        layout = _LAYOUTS.get(KINDS.get(tensor.kind, ""))
        if layout is None or tensor.shape[-1] % layout.numbers:
            raise NotGguf(
                f"the tensor {name} is stored as {KINDS.get(tensor.kind, f'type {tensor.kind}')}"
            )
        if tensor.at + _items(tensor) * layout.item.itemsize > size:
            raise NotGguf(f"it ends in the middle of the tensor {name}")


def _items(tensor: Placed) -> int:
    return prod(tensor.shape) // _LAYOUTS[KINDS[tensor.kind]].numbers


def _numbers(file: GgufWeights, name: str) -> Any:
    tensor = file.tensors[name]
    layout = _LAYOUTS[KINDS[tensor.kind]]
    with file.path.open("rb") as opened:
        opened.seek(tensor.at)
        read = np.frombuffer(opened.read(_items(tensor) * layout.item.itemsize), layout.item)
    if layout.numbers == 1:
        return read.astype(np.float32).reshape(tensor.shape)
    return (read["scale"].astype(np.float32)[:, None] * read["numbers"].astype(np.float32)).reshape(
        tensor.shape
    )
