"""What a training would take of a GPU's memory and of the disk.

Estimates, reckoned with the figures of `training/estimates.yaml`.
"""

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


class BytesEach(Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes of one thing, as `estimates.yaml` explains them."""

    quantized: _Bytes
    half: _Bytes
    single: _Bytes
    optimizer: _Bytes
    optimizer_8bit: _Bytes
    activation: _Bytes
    activations_without: _Bytes
    runtime: _Bytes


class Figures(Struct, frozen=True, forbid_unknown_fields=True):
    bytes: BytesEach
    logit_chunk: Annotated[int, Meta(ge=1)]


class Memory(Struct, frozen=True):
    """Bytes, estimated."""

    weights: int
    trained: int
    activations: int
    logits: int
    runtime: int

    @property
    def total(self) -> int:
        return self.weights + self.trained + self.activations + self.logits + self.runtime


class Disk(Struct, frozen=True):
    """Bytes, estimated: the base as it is downloaded (16 bit), one checkpoint, and all that are
    kept at once.
    """

    base: int
    checkpoint: int
    kept: int


def figures() -> Figures:
    """The shipped figures. Raises UsageError when the file is not well formed."""
    path = bundled_dir("training") / "estimates.yaml"
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), Figures)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from error


def memory(settings: Settings, counts: Counts, longest: int) -> Memory:
    """Memory of one step whose rows have `longest` tokens each."""
    each, chunk = figures().bytes, figures().logit_chunk
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


def disk(settings: Settings, counts: Counts) -> Disk:
    """What the base, the checkpoints that are kept (the newest ones and the best) and the result
    come to.
    """
    each = figures().bytes
    checkpoint = int(counts.trainable * (each.single + each.optimizer))
    base = 0 if settings.base.scratch is not None else int(counts.total * each.half)
    return Disk(
        base,
        checkpoint,
        checkpoint * (settings.evaluation.keep + 1) + int(counts.trainable * each.single),
    )
