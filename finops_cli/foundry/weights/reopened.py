"""The weights of a GGUF file under the names of transformers' Qwen3ForCausalLM: what `finops quantize` wrote, to be trained on.

A quantized weight is the number that it stands for, so the training begins with the model that answers at the desk, to the bit. The
layout of a block of Q8_0 restates ggml's `block_q8_0` (MIT, The ggml authors): a scale in float16, then 32 whole numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finops_cli.errors import UsageError
from finops_cli.foundry.weights.architecture import Architecture
from finops_cli.foundry.weights.layout import wanted_tensors
from finops_cli.models.gguf import KINDS, Head, NotGguf, Placed, read_head

SUFFIX = ".gguf"
_BLOCK = 32


class _Stored(NamedTuple):
    """How the numbers of a kind lie in a file: so many `numbers` in each `item`."""

    item: Any
    numbers: int


_STORED = {
    "F32": _Stored(np.dtype("<f4"), 1),
    "F16": _Stored(np.dtype("<f2"), 1),
    "Q8_0": _Stored(np.dtype([("scale", "<f2"), ("numbers", "i1", (_BLOCK,))]), _BLOCK),
}


def head_of(path: Path) -> Head:
    """The head of a file of one of the tiny models. Raises UsageError for any other."""
    try:
        head = read_head(path)
    except (OSError, NotGguf) as error:
        raise UsageError(f"{path}: is no GGUF file that can be read: {error}") from error
    kind = head.pairs.get("general.architecture")
    if kind != "qwen3":
        raise UsageError(f"{path}: is a {kind or 'file without tensors of a network'}; only qwen3 is taken up again")
    return head


def weights_in(path: Path) -> dict[str, Any]:
    """All weights in float32. Raises UsageError for a file that is not whole, or holds numbers of a kind that is not read here."""
    head = head_of(path)
    try:
        names = {tensor.name: tensor.source for tensor in wanted_tensors(_network(head))}
        return {names[name]: _numbers(path, tensor) for name, tensor in head.tensors.items()}
    except (KeyError, ValueError, OverflowError) as error:
        raise UsageError(f"{path}: is not a whole Qwen3 in f32, f16 or q8_0, as finops quantize writes one: {error}") from error


def _network(head: Head) -> Architecture:
    """The network that the head tells of; of its sizes only the number of layers decides what tensors are called."""
    said = {key.removeprefix("qwen3."): value for key, value in head.pairs.items()}
    return Architecture(
        name="qwen3",
        layers=said["block_count"],
        width=said["embedding_length"],
        feed_forward=said["feed_forward_length"],
        heads=said["attention.head_count"],
        kv_heads=said["attention.head_count_kv"],
        head_dim=said["attention.key_length"],
        vocabulary=len(said["tokenizer.ggml.tokens"]),
        context=said["context_length"],
        norm_epsilon=said["attention.layer_norm_rms_epsilon"],
        rope_base=said["rope.freq_base"],
        tied="output.weight" not in head.tensors,
    )


def _numbers(path: Path, tensor: Placed) -> Any:
    stored = _STORED[KINDS[tensor.kind]]
    items = int(np.prod(tensor.shape)) // stored.numbers
    with path.open("rb") as file:
        file.seek(tensor.at)
        read = np.frombuffer(file.read(items * stored.item.itemsize), stored.item, count=items)
    if stored.numbers == 1:
        return read.astype(np.float32).reshape(tensor.shape)
    return (read["scale"].astype(np.float32)[:, None] * read["numbers"]).reshape(tensor.shape).astype(np.float32)
