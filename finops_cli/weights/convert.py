"""Convert a checkpoint, with or without an adapter, to one GGUF file.

Only a few rows are in memory at a time, whatever the size of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finops_cli.errors import UsageError
from finops_cli.files.safe_io import whole
from finops_cli.models import gguf
from finops_cli.models.bundled import MADE_FOR
from finops_cli.weights import gguf_writer
from finops_cli.weights.architecture import Architecture, gguf_settings, read_architecture
from finops_cli.weights.checkpoint import Checkpoint
from finops_cli.weights.gguf_sentencepiece import sentencepiece_pairs
from finops_cli.weights.gguf_tokenizer import byte_level_pairs, read_tokenizer_file
from finops_cli.weights.llama_quantize import PRECISIONS, Precision
from finops_cli.weights.lora import LoraAdapter, LoraMerge, LoraPair, refuse_unmergeable
from finops_cli.weights.safetensors import Tensor
from finops_cli.weights.tensor_map import TensorSpec, list_tensors

_QUANTIZATION_VERSION = 2
_BLOCK_NUMBERS = 256 * 1024
"""Numbers in memory at a time. They fit into a processor's cache while an adapter is added."""

Watch = Callable[[int, int], None]
"""Called with the number of written bytes and of all bytes."""


class Conversion(NamedTuple):
    """A conversion that is possible: everything except the numbers has been checked."""

    checkpoint: Checkpoint
    network: Architecture
    adapter: LoraAdapter | None
    tensors: tuple[TensorSpec, ...]
    tokenizer: dict[str, gguf.Pair]

    @property
    def parameters(self) -> int:
        """Return the number of weights in the network."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors)

    def bytes(self, precision: Precision) -> int:
        """Return the size of the tensors in a file of `precision`."""
        return sum(_header_entry(tensor, precision).bytes for tensor in self.tensors)


class ModelName(NamedTuple):
    """The names that are written into a file."""

    name: str
    modelfile: str | None = None
    """The Modelfile whose prompt the model was trained with; None: the Modelfile of its stage."""


def plan_conversion(checkpoint: Checkpoint, adapter: LoraAdapter | None) -> Conversion:
    """Check a checkpoint and plan its conversion.

    Raises UsageError for an unsupported network, tensor, shape, tokenizer or adapter.
    """
    place = checkpoint.folder / "config.json"
    network = read_architecture(checkpoint.config, place)
    if network.layers > len(checkpoint.tensors):
        raise UsageError(
            f"{place}: num_hidden_layers is {network.layers:,}; the weights are"
            f" {len(checkpoint.tensors):,} tensors",
            "give the config.json that belongs to the weights",
        )
    tensors = list_tensors(network)
    _refuse_tensor_mismatch(checkpoint, tensors, network)
    if adapter is not None:
        refuse_unmergeable(adapter, tensors)
    text = checkpoint.config.get("text_config") or checkpoint.config
    tokenizer = read_tokenizer_file(checkpoint.folder)
    make_pairs = sentencepiece_pairs if network.name == "llama" else byte_level_pairs
    words = make_pairs(checkpoint.folder, tokenizer, text, network.vocabulary)
    return Conversion(
        checkpoint=checkpoint,
        network=network,
        adapter=adapter,
        tensors=tuple(tensors),
        tokenizer=words,
    )


def convert(
    planned: Conversion, path: Path, precision: Precision, name: ModelName, watch: Watch
) -> None:
    """Write the file `path`, either complete or not at all.

    Raises UsageError for NaN, infinity and numbers too large for f16.
    """
    stored = [_header_entry(tensor, precision) for tensor in planned.tensors]
    pairs: dict[str, gguf.Pair] = {
        "general.architecture": planned.network.name,
        "general.type": "model",
        "general.name": name.name,
        **({MADE_FOR: name.modelfile} if name.modelfile else {}),
        **gguf_settings(planned.network),
        "general.file_type": PRECISIONS[precision].file_type,
        "general.quantization_version": _QUANTIZATION_VERSION,
        **planned.tokenizer,
    }
    total, done = sum(each.bytes for each in stored), 0
    with whole(path) as file:
        file.write(gguf_writer.encode_head(pairs, stored))
        for tensor, each in zip(planned.tensors, stored, strict=True):
            _write(file, planned, tensor, precision)
            file.write(gguf_writer.make_padding(each.bytes))
            done += each.bytes
            watch(done, total)


def _write(file: BinaryIO, planned: Conversion, tensor: TensorSpec, precision: Precision) -> None:
    source = planned.checkpoint.tensors[tensor.source]
    pair = planned.adapter.pairs.get(tensor.source) if planned.adapter else None
    kept = "f32" if tensor.exact else precision
    file.writelines(
        _encode(block, kept, source).tobytes() for block in read_blocks(source, tensor, pair)
    )


def read_blocks(
    source: Tensor, tensor: TensorSpec, pair: LoraPair | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of a tensor as they are stored in the file, in blocks.

    Shape of a block: (rows, ...) float32.
    """
    stored = source.stored()
    if len(tensor.source_shape) != len(
        tensor.shape
    ):  # the middle dimension of a convolution, which is 1
        stored = stored.reshape(tensor.shape)
    height = tensor.shape[0]
    step = max(1, _BLOCK_NUMBERS // int(np.prod(tensor.shape[1:])))
    merging = LoraMerge(pair) if pair is not None else None
    for start in range(0, height, step):
        end = min(start + step, height)
        rows = slice(start, end) if tensor.rows is None else tensor.rows[start:end]
        block = source.as_float32(stored[rows])
        if merging is not None:
            block = merging.add_to(block, rows)
        if tensor.columns is not None:
            block = block[:, tensor.columns]
        yield _apply_change(block, tensor)


def _apply_change(block: NDArray[np.float32], tensor: TensorSpec) -> NDArray[np.float32]:
    if tensor.change == "add_one":
        return block + np.float32(1)
    if tensor.change == "neg_exp":
        # in float64: its last bits differ between machines, the rounded result does not
        return -np.exp(block.astype(np.float64)).astype(np.float32)
    return block


def _encode(block: NDArray[np.float32], kind: Precision, source: Tensor) -> NDArray[Any]:
    """Convert `block` to the file's type, rounded to nearest, ties to even."""
    if not np.isfinite(block).all():
        raise UsageError(
            f"{source.path}: {source.name} contains NaN or infinity; the training diverged",
            "train again with a lower learning rate",
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
            f"{source.path}: {source.name} contains numbers too large for {kind}",
            "use --type f32 or bf16",
        )
    return made


def _header_entry(tensor: TensorSpec, precision: Precision) -> gguf_writer.TensorHeader:
    kind, width, _ = PRECISIONS["f32" if tensor.exact else precision]
    return gguf_writer.TensorHeader(
        tensor.name, tensor.shape, kind, int(np.prod(tensor.shape)) * width
    )


def _refuse_tensor_mismatch(
    checkpoint: Checkpoint, wanted: list[TensorSpec], network: Architecture
) -> None:
    """Raise UsageError unless the checkpoint has exactly the tensors of the network."""
    known = {tensor.source for tensor in wanted} | ({"lm_head.weight"} if network.tied else set())
    strange = sorted(checkpoint.tensors.keys() - known)
    if strange:
        raise UsageError(
            f"{checkpoint.tensors[strange[0]].path}: {strange[0]} is not a tensor of"
            f" {network.name}; {_count_tensors(strange)} unknown",
            "give the weights of this architecture",
        )
    missing = [tensor.source for tensor in wanted if tensor.source not in checkpoint.tensors]
    if missing:
        raise UsageError(
            f"{checkpoint.folder}: {missing[0]} is missing; {_count_tensors(missing)} missing",
            "save the model again",
        )
    for tensor in wanted:
        source = checkpoint.tensors[tensor.source]
        if source.shape != tensor.source_shape:
            raise UsageError(
                f"{source.path}: {source.name} has the shape {source.shape}; config.json makes it"
                f" {tensor.source_shape}",
                "give the config.json that belongs to the weights",
            )
        source.stored()


def _count_tensors(names: list[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names):,} tensors are"
