"""The keys of a recipe, with what each accepts. Their values stand in `training/*.yaml` only: no key has a default here."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from finops_cli.errors import UsageError
from finops_cli.foundry.triage_examples import Profile

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0, lt=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a recipe."""


class Scratch(Section, frozen=True):
    """A model of random weights: widths in units, lengths in tokens. Columns that are multiples of 256 can be quantized by K-quants."""

    architecture: Literal["qwen3"]
    hidden_size: Positive
    intermediate_size: Positive
    layers: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    max_positions: Positive
    rope_theta: Annotated[float, Meta(gt=0)]
    tied: bool


class Vocabulary(Section, frozen=True):
    """A tokenizer to learn: `size` tokens without the special ones, from the texts of the stream's first `rows` training rows."""

    size: Annotated[int, Meta(ge=256)]
    rows: Positive


class Base(Section, frozen=True):
    """What is trained. `folder` and `tokenizer` are paths, `shape` a name in `training/shapes`."""

    name: str
    folder: str | None
    shape: str | None
    scratch: Scratch | None
    tokenizer: str | None
    vocabulary: Vocabulary | None
    pad_token: str | None
    quantization: Literal["nf4", "none"]


class Adapter(Section, frozen=True):
    method: Literal["lora", "full"]
    rank: Positive
    alpha: Positive
    dropout: Share
    targets: Annotated[list[str], Meta(min_length=1)]


class Data(Section, frozen=True):
    """`form` is a name in `forms.FORMS`."""

    source: Literal["file", "stream"]
    form: str
    folder: str
    seed: Seed
    profile: Profile


class Training(Section, frozen=True):
    """`batch` rows at once, `accumulation` batches a step; `warmup` below 1 is a share of the steps; lengths in tokens."""

    epochs: Annotated[float, Meta(gt=0)]
    max_steps: Positive | None
    batch: Positive
    accumulation: Positive
    max_length: Positive
    packing: bool
    learning_rate: Rate
    warmup: NotNegative
    scheduler: Literal["cosine", "linear", "constant_with_warmup"]
    weight_decay: NotNegative
    max_grad_norm: Annotated[float, Meta(gt=0)]
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit"]
    precision: Literal["bf16", "fp16", "fp32"]
    gradient_checkpointing: bool
    seed: Seed
    threads: Positive | None
    workers: Natural
    log_every: Positive

    @property
    def rows_a_step(self) -> int:
        return self.batch * self.accumulation


class Evaluation(Section, frozen=True):
    """`every` in steps; the others count rows, or tokens."""

    every: Positive
    keep: Positive
    samples: Positive
    batch: Positive
    new_tokens: Positive
    loss_rows: Positive


class Settings(Section, frozen=True):
    """A whole recipe."""

    base: Base
    adapter: Adapter
    data: Data
    training: Training
    evaluation: Evaluation


def refuse_contradictions(settings: Settings) -> None:
    """Raises UsageError, with what to change, for keys that cannot stand together."""
    base, adapter, data, training = settings.base, settings.adapter, settings.data, settings.training
    wrong = {
        "base.folder and base.scratch exclude each other: one is a model that exists, the other one of random weights": (
            base.folder is not None and base.scratch is not None
        ),
        "base.scratch takes base.tokenizer (a folder) or base.vocabulary (one to learn), and just one of them": (
            base.scratch is not None and (base.tokenizer is None) == (base.vocabulary is None)
        ),
        "base.scratch goes with adapter.method=full: an adapter on random weights learns little": (
            base.scratch is not None and adapter.method == "lora"
        ),
        "base.quantization=nf4 goes with adapter.method=lora: 4-bit weights are not trained themselves": (
            base.quantization == "nf4" and adapter.method == "full"
        ),
        "data.source=stream has no epochs: give training.max_steps (--max-steps N)": (
            data.source == "stream" and training.max_steps is None
        ),
        "data.source=file goes with data.form=card: the rows of a file are worded already": (
            data.source == "file" and data.form != "card"
        ),
        "data.source=stream goes with training.packing=false: rows are packed by their lengths, which a stream does not know": (
            data.source == "stream" and training.packing
        ),
    }
    found = [text for text, holds in wrong.items() if holds]
    if found:
        raise UsageError("the recipe contradicts itself: " + "; ".join(found))
