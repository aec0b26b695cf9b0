"""A checkpoint, with or without an adapter, as one GGUF file.

A few rows are in memory at a time, whatever the size of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from finops_cli.errors import UsageError
from finops_cli.files.safe_io import whole
from finops_cli.models import gguf
from finops_cli.models.bundled import MADE_FOR
from finops_cli.weights import gguf_writer
from finops_cli.weights.architecture import Architecture, architecture_of, settings
from finops_cli.weights.checkpoint import Checkpoint
from finops_cli.weights.gguf_tokenizer import vocabulary
from finops_cli.weights.llama_quantize import PRECISIONS, Precision
from finops_cli.weights.lora import Adapter, Merging, Pair, refuse_unmergeable
from finops_cli.weights.safetensors import Tensor
from finops_cli.weights.tensor_map import TensorSpec, tensor_specs

_QUANTIZATION_VERSION = 2
_BLOCK_NUMBERS = 256 * 1024
"""Numbers in memory at a time: few enough to stay in a processor's cache while an adapter is
added.
"""

Watch = Callable[[int, int], None]
"""Told how many bytes of how many are written."""


class Conversion(NamedTuple):
    """A conversion that can be carried out: everything but the numbers themselves has been looked
    at.
    """

    checkpoint: Checkpoint
    network: Architecture
    adapter: Adapter | None
    tensors: tuple[TensorSpec, ...]
    vocabulary: dict[str, gguf.Pair]

    @property
    def parameters(self) -> int:
        """Weights of the network."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors)

    def bytes(self, precision: Precision) -> int:
        """The size of the tensors in a file of `precision`."""
        return sum(_stored(tensor, precision).bytes for tensor in self.tensors)


class Named(NamedTuple):
    """What a file says of its model: its name, and the Modelfile that it is made for where that is
    not its stage's.
    """

    name: str
    modelfile: str | None = None


def plan_conversion(checkpoint: Checkpoint, adapter: Adapter | None) -> Conversion:
    """Raises UsageError for a network, tensor, shape, tokenizer or adapter that is not converted
    here.
    """
    place = checkpoint.folder / "config.json"
    network = architecture_of(checkpoint.config, place)
    if network.layers > len(checkpoint.tensors):
        raise UsageError(
            f"{place}: num_hidden_layers is {network.layers:,}; the weights are"
            f" {len(checkpoint.tensors):,} tensors"
        )
    tensors = tensor_specs(network)
    _refuse_other_tensors(checkpoint, tensors, network)
    if adapter is not None:
        refuse_unmergeable(adapter, tensors)
    text = checkpoint.config.get("text_config") or checkpoint.config
    words = vocabulary(checkpoint.folder, text, network.vocabulary)
    return Conversion(checkpoint, network, adapter, tuple(tensors), words)


def convert(
    planned: Conversion, path: Path, precision: Precision, named: Named, watch: Watch
) -> None:
    """Write `path`, whole or not at all.

    `named` goes into the file. Raises UsageError for a number that is none, or too large for f16.
    """
    stored = [_stored(tensor, precision) for tensor in planned.tensors]
    pairs: dict[str, gguf.Pair] = {
        "general.architecture": planned.network.name,
        "general.type": "model",
        "general.name": named.name,
        **({MADE_FOR: named.modelfile} if named.modelfile else {}),
        **settings(planned.network),
        "general.file_type": PRECISIONS[precision].file_type,
        "general.quantization_version": _QUANTIZATION_VERSION,
        **planned.vocabulary,
    }
    total, done = sum(each.bytes for each in stored), 0
    with whole(path) as file:
        file.write(gguf_writer.head_bytes(pairs, stored))
        for tensor, each in zip(planned.tensors, stored, strict=True):
            _write(file, planned, tensor, precision)
            file.write(gguf_writer.padding(each.bytes))
            done += each.bytes
            watch(done, total)


def _write(file: BinaryIO, planned: Conversion, tensor: TensorSpec, precision: Precision) -> None:
    source = planned.checkpoint.tensors[tensor.source]
    pair = planned.adapter.pairs.get(tensor.source) if planned.adapter else None
    kept = "f32" if tensor.exact else precision
    file.writelines(
        _encoded(block, kept, source).tobytes() for block in blocks(source, tensor, pair)
    )


def blocks(source: Tensor, tensor: TensorSpec, pair: Pair | None) -> Iterator[Any]:
    """The rows of a tensor as they stand in the file, in float32, a block of them at a time."""
    stored = source.stored()
    if len(tensor.given) != len(tensor.shape):  # the middle dimension of a convolution, which is 1
        stored = stored.reshape(tensor.shape)
    height = tensor.shape[0]
    step = max(1, _BLOCK_NUMBERS // int(np.prod(tensor.shape[1:])))
    merging = Merging(pair) if pair is not None else None
    for start in range(0, height, step):
        end = min(start + step, height)
        rows = slice(start, end) if tensor.rows is None else tensor.rows[start:end]
        block = source.as_float32(stored[rows])
        if merging is not None:
            block = merging.added_to(block, rows)
        if tensor.columns is not None:
            block = block[:, tensor.columns]
        yield _changed(block, tensor)


def _changed(block: Any, tensor: TensorSpec) -> Any:
    if tensor.change == "one more":
        return block + np.float32(1)
    if (
        tensor.change == "minus exp"
    ):  # in float64, whose last bits differ between machines; those of the result do not
        return -np.exp(block.astype(np.float64)).astype(np.float32)
    return block


def _encoded(block: Any, kind: Precision, source: Tensor) -> Any:
    """`block` in the file's type, rounded to the nearest, ties to even."""
    if not np.isfinite(block).all():
        raise UsageError(
            f"{source.path}: {source.name} holds numbers that are none (NaN or infinite); the"
            " training went astray"
        )
    if kind == "f32":
        return block.astype("<f4", copy=False)
    if kind == "f16":
        with np.errstate(over="ignore"):
            made = block.astype("<f2")
        fits = np.isfinite(made).all()
    else:
        bits = np.ascontiguousarray(block).view(np.uint32)
        made = (
            (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        ).astype("<u2")
        fits = ((made & 0x7F80) != 0x7F80).all()
    if not fits:
        raise UsageError(
            f"{source.path}: {source.name} holds numbers that are too large for {kind}",
            "take --type f32 or bf16",
        )
    return made


def _stored(tensor: TensorSpec, precision: Precision) -> gguf_writer.Stored:
    kind, width, _ = PRECISIONS["f32" if tensor.exact else precision]
    return gguf_writer.Stored(tensor.name, tensor.shape, kind, int(np.prod(tensor.shape)) * width)


def _refuse_other_tensors(
    checkpoint: Checkpoint, wanted: list[TensorSpec], network: Architecture
) -> None:
    """Raises UsageError unless the checkpoint holds the network's tensors in their shapes, and no
    others.
    """
    known = {tensor.source for tensor in wanted} | ({"lm_head.weight"} if network.tied else set())
    strange = sorted(checkpoint.tensors.keys() - known)
    if strange:
        raise UsageError(
            f"{checkpoint.tensors[strange[0]].path}: {strange[0]} belongs to no {network.name};"
            f" {_told(strange)} unknown"
        )
    missing = [tensor.source for tensor in wanted if tensor.source not in checkpoint.tensors]
    if missing:
        raise UsageError(
            f"{checkpoint.folder}: {missing[0]} is missing; {_told(missing)} missing, save the"
            " model again"
        )
    for tensor in wanted:
        source = checkpoint.tensors[tensor.source]
        if source.shape != tensor.given:
            raise UsageError(
                f"{source.path}: {source.name} has the shape {source.shape}; config.json makes it"
                f" {tensor.given}"
            )
        source.stored()


def _told(names: list[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names):,} tensors are"
