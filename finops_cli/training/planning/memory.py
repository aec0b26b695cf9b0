"""Estimate the GPU memory and the disk space of a training run, from `training/estimates.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import yaml
from msgspec import Meta, Struct

from finops_cli.errors import UsageError
from finops_cli.kb.load import bundled_dir
from finops_cli.training.recipe_schema import Settings

if TYPE_CHECKING:
    from finops_cli.training.planning.parameter_counts import Counts

_Bytes = Annotated[float, Meta(ge=0)]


class BytesPerItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes per item, explained in `estimates.yaml`."""

    quantized: _Bytes
    half: _Bytes
    single: _Bytes
    optimizer: _Bytes
    optimizer_8bit: _Bytes
    activation: _Bytes
    activations_without: _Bytes
    runtime: _Bytes


class MemoryEstimates(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `estimates.yaml`."""

    bytes: BytesPerItem
    logit_chunk: Annotated[int, Meta(ge=1)]


class Memory(Struct, frozen=True, kw_only=True):
    """Estimated memory, in bytes."""

    weights: int
    trained: int
    activations: int
    logits: int
    runtime: int

    @property
    def total(self) -> int:
        return self.weights + self.trained + self.activations + self.logits + self.runtime


class Disk(Struct, frozen=True):
    """Estimated disk space, in bytes."""

    base: int
    """The base as downloaded, in 16 bits."""
    checkpoint: int
    """One checkpoint."""
    kept: int
    """All checkpoints that exist at once, and the result."""


def read_estimates() -> MemoryEstimates:
    """Read the bundled estimates.

    Raises UsageError if the file is not valid.
    """
    path = bundled_dir("training") / "estimates.yaml"
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), MemoryEstimates)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from error


def estimate_memory(settings: Settings, counts: Counts, longest: int) -> Memory:
    """Estimate the memory of one step whose rows have `longest` tokens each."""
    each, chunk = read_estimates().bytes, read_estimates().logit_chunk
    training = settings.training
    wide = each.single if training.precision == "fp32" else each.half
    four_bit = counts.quantizable if settings.base.quantization == "nf4" else 0
    averages = each.optimizer_8bit if training.optimizer.endswith("8bit") else each.optimizer
    tokens = training.batch * longest if training.tokens is None else training.tokens
    kept = each.activation if training.gradient_checkpointing else each.activations_without
    full = settings.adapter.method == "full"
    return Memory(
        weights=int(four_bit * each.quantized + (counts.total - four_bit) * wide),
        trained=int(
            counts.trainable * (averages + (wide if full else 2 * wide))
        ),  # averages, gradient, and an adapter's own weights
        activations=int(kept * counts.layers * tokens * counts.hidden_size),
        logits=int(2 * each.single * min(chunk * training.batch, tokens) * counts.vocabulary),
        runtime=int(each.runtime) if training.precision != "fp32" else 0,
    )


def estimate_disk(settings: Settings, counts: Counts) -> Disk:
    """Estimate the disk space of the base, of the checkpoints that are kept, and of the result."""
    each = read_estimates().bytes
    checkpoint = int(counts.trainable * (each.single + each.optimizer))
    base = 0 if settings.base.scratch is not None else int(counts.total * each.half)
    result = int(counts.trainable * each.single)
    return Disk(base, checkpoint, checkpoint * (settings.evaluation.keep + 1) + result)
