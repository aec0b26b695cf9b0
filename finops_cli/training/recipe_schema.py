"""The keys of a recipe, with what each accepts.

Their values stand in `training/*.yaml` only: no key has a default here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0, lt=1)]
Progress = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a recipe."""


class Start(Section, frozen=True):
    """Random weights ready to copy (`foundry.tiny_start`); by the rotary pairs from `content_from`
    on words are told apart.
    """

    seed: Seed
    content_from: Natural


class Scratch(Section, frozen=True):
    """A model of a shape of its own: widths in units, lengths in tokens. Columns that are multiples
    of 256 can be quantized by K-quants.

    It begins with evenly random weights, or as `start` says, or with those of `weights`: a folder
    that a training saved, or a GGUF file that `finops quantize` wrote of one.
    """

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
    start: Start | None
    weights: str | None


class Vocabulary(Section, frozen=True):
    """A tokenizer to learn: `size` tokens without the special ones, from the texts of the first
    training rows, so many a stage.

    Those of the recipe's own stage are its own; of another stage a vocabulary takes records and
    answers, so that both can share it.
    """

    size: Annotated[int, Meta(ge=256)]
    rows: dict[StageName, Positive]


class Base(Section, frozen=True):
    """What is trained.

    `folder` and `tokenizer` are paths (that of a tokenizer may be a GGUF file's), `shape` a name in
    `training/shapes`.
    """

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
    """`form` is a name in `forms.FORMS`; `modelfile` one in `modelfiles`: its SYSTEM is the prompt.

    `mix`: by kind of example, its share of the batches over the training, as points (how far it is,
    weight) with straight lines between.
    """

    source: Literal["file", "stream"]
    form: str
    folder: str
    seed: Seed
    profile: Profile
    modelfile: str
    most_ftrs: Positive | None
    mix: dict[str, Annotated[list[tuple[Progress, NotNegative]], Meta(min_length=1)]] | None


class Muon(Section, frozen=True):
    """Of the matrices of the layers (`muon.Muon`); `betas` are those of Adam, which trains all else
    at `training.learning_rate`.
    """

    rate: Rate
    momentum: Share
    iterations: Positive
    betas: tuple[Share, Share]


class Training(Section, frozen=True):
    """`batch` rows at once, `accumulation` batches a step; `warmup` below 1 is a share of the
    steps; lengths in tokens.

    `tokens`: instead of rows, examples of about one length up to so many tokens make a batch.
    `hold`: the share of the steps at the full rate.
    """

    epochs: Annotated[float, Meta(gt=0, le=10_000)]
    max_steps: Positive | None
    batch: Positive
    tokens: Positive | None
    accumulation: Positive
    max_length: Positive
    packing: bool
    learning_rate: Rate
    warmup: NotNegative
    scheduler: Literal["cosine", "linear", "constant_with_warmup", "warmup_stable_decay"]
    hold: Share | None
    weight_decay: NotNegative
    max_grad_norm: Annotated[float, Meta(gt=0)]
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "muon"]
    muon: Muon | None
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
    base, adapter, data, training = (
        settings.base,
        settings.adapter,
        settings.data,
        settings.training,
    )
    wrong = {
        "base.folder and base.scratch exclude each other: one is a model that exists, the"
        " other one of random weights": (base.folder is not None and base.scratch is not None),
        "base.scratch takes base.tokenizer (a folder or GGUF file) or base.vocabulary (one to"
        " learn), and just one of them": (
            base.scratch is not None and (base.tokenizer is None) == (base.vocabulary is None)
        ),
        "base.scratch.heads is a multiple of base.scratch.kv_heads, and base.scratch.head_dim"
        " is even": (
            base.scratch is not None
            and (base.scratch.heads % base.scratch.kv_heads != 0 or base.scratch.head_dim % 2 != 0)
        ),
        "base.scratch goes with adapter.method=full: an adapter on random weights learns little": (
            base.scratch is not None and adapter.method == "lora"
        ),
        "base.quantization=nf4 goes with adapter.method=lora: 4-bit weights are not trained"
        " themselves": (base.quantization == "nf4" and adapter.method == "full"),
        "base.scratch.start and base.scratch.weights exclude each other": (
            base.scratch is not None
            and base.scratch.start is not None
            and base.scratch.weights is not None
        ),
        "training.optimizer=muon goes with training.muon and adapter.method=full": (
            (training.optimizer == "muon") != (training.muon is not None)
            or (training.optimizer == "muon" and adapter.method == "lora")
        ),
        "training.scheduler=warmup_stable_decay goes with training.hold": (
            (training.scheduler == "warmup_stable_decay") != (training.hold is not None)
        ),
        "training.tokens goes with data.source=stream, training.batch=1 and"
        " training.workers=0: a stream is cut into batches in its order": (
            training.tokens is not None
            and (data.source, training.batch, training.workers) != ("stream", 1, 0)
        ),
        "data.mix goes with training.tokens: the kinds are mixed batch by batch": (
            data.mix is not None and training.tokens is None
        ),
        "data.source=stream has no epochs: give training.max_steps (--max-steps N)": (
            data.source == "stream" and training.max_steps is None
        ),
        "data.source=file goes with data.form=card: the rows of a file are worded already": (
            data.source == "file" and data.form != "card"
        ),
        "data.source=stream goes with training.packing=false: rows are packed by their"
        " lengths, which a stream does not know": (data.source == "stream" and training.packing),
    }
    found = [text for text, holds in wrong.items() if holds]
    if found:
        raise UsageError("the recipe contradicts itself: " + "; ".join(found))
