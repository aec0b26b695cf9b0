"""The keys of a training recipe, with their accepted values.

No key has a default here; every value is written in `training/*.yaml`. Rules between keys are in
`recipe_rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain.stage_names import StageName
from finops_cli.files.user_files import UserFileModel


def _refuse_boolean(value: object) -> object:
    """Refuse true and false where a number is expected. Python would read true as 1."""
    if isinstance(value, bool):
        raise ValueError("a number")  # noqa: TRY004 - pydantic reports a ValueError only
    return value


_Number = BeforeValidator(_refuse_boolean)
Positive = Annotated[int, Field(ge=1), _Number]
NotNegativeInt = Annotated[int, Field(ge=0), _Number]
Proportion = Annotated[float, Field(ge=0, lt=1), _Number]
NotNegative = Annotated[float, Field(ge=0), _Number]
PositiveFloat = Annotated[float, Field(gt=0), _Number]
Rate = Annotated[float, Field(gt=0, lt=1), _Number]
Progress = Annotated[float, Field(ge=0, le=1), _Number]
"""The completed proportion of a training run, from 0 at the start to 1 at the end."""
Seed = Annotated[int, Field(ge=0, lt=2**32), _Number]


class Section(UserFileModel):
    """A part of a recipe."""

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)


class Start(Section):
    """Initial weights that already copy tokens (`training.induction_init`)."""

    seed: Seed
    content_from: NotNegativeInt
    """The first rotary pair that distinguishes tokens by content instead of by position."""


class Scratch(Section):
    """A model with its own shape, trained from the start.

    Its first weights are random, or from `start`, or from `weights`.
    """

    architecture: Literal["qwen3"]
    hidden_size: Positive
    """K-quants need a multiple of 256."""
    intermediate_size: Positive
    """K-quants need a multiple of 256."""
    layers: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    max_positions: Positive
    """The longest sequence, in tokens."""
    rope_theta: PositiveFloat
    tied: bool
    """The input embedding is also the output layer."""
    start: Start | None
    weights: str | None
    """A folder that `finops train` saved, or a GGUF file that `finops quantize` made from one."""


class Vocabulary(Section):
    """A tokenizer to learn from the first training rows of one or more stages.

    Rows of the recipe's own stage are used as they are trained on. Of another stage the records and
    the answers are used, so that two stages can share a vocabulary.
    """

    size: Annotated[int, Field(ge=256), _Number]
    """Tokens, without the special ones."""
    rows: dict[StageName, Positive]
    """How many rows of each stage."""


class Base(Section):
    """The model that is trained."""

    name: str
    folder: str | None
    """A local Hugging Face folder (`--base`)."""
    shape: str | None
    """A name in `training/shapes`: counts the parameters where no weights are present."""
    scratch: Scratch | None
    tokenizer: str | None
    """For `scratch`: a folder or a GGUF file with a tokenizer."""
    vocabulary: Vocabulary | None
    pad_token: str | None
    quantization: Literal["nf4", "none"]


class Adapter(Section):
    """The weights that are trained: a low-rank adapter, or all of them."""

    method: Literal["lora", "full"]
    rank: Positive
    alpha: Positive
    dropout: Proportion
    targets: Annotated[list[str], Field(min_length=1)]
    """The linear layers that get an adapter."""


class Data(Section):
    """The rows to train on."""

    source: Literal["file", "stream"]
    """file: rows that `finops generate` wrote. stream: new rows at every step."""
    format: str
    """How a stream words its examples: a name in `training.data.formats.FORMATS`."""
    folder: str
    """The folder of the files (`--data`)."""
    seed: Seed
    profile: Profile
    modelfile: str
    """A name in `modelfiles/`: its SYSTEM text is the prompt."""
    max_ftrs: Positive | None
    """The most fails to receive (FTR) in one resolver input of a stream."""
    mix: dict[str, Annotated[list[tuple[Progress, NotNegative]], Field(min_length=1)]] | None
    """The weight of each kind of example over the run, as points (progress, weight).

    Between two points the weight follows a straight line.
    """


class Muon(Section):
    """Settings of the Muon optimizer, which trains the matrices of the layers (`training.muon`)."""

    rate: Rate
    momentum: Proportion
    iterations: Positive
    betas: tuple[Proportion, Proportion]
    """The betas of Adam, which trains all other weights at `training.learning_rate`."""


class Training(Section):
    """The optimizer, its schedule and its batches."""

    epochs: Annotated[float, Field(gt=0, le=10_000), _Number]
    max_steps: Positive | None
    batch: Positive
    """Rows that are computed at once."""
    tokens: Positive | None
    """Instead of `batch`: examples of similar length, up to so many tokens together."""
    accumulation: Positive
    """Batches per step."""
    max_length: Positive
    """The longest row, in tokens."""
    packing: bool
    learning_rate: Rate
    warmup: NotNegative
    """Below 1 a proportion of the steps, otherwise a number of steps."""
    scheduler: Literal["cosine", "linear", "constant_with_warmup", "warmup_stable_decay"]
    hold: Proportion | None
    """The proportion of the steps at the full rate."""
    weight_decay: NotNegative
    max_grad_norm: PositiveFloat
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "muon"]
    muon: Muon | None
    precision: Literal["bf16", "fp16", "fp32"]
    gradient_checkpointing: bool
    seed: Seed
    threads: Positive | None
    """Threads of the processor; all of them when null."""
    workers: NotNegativeInt
    """Processes that prepare the rows of a stream ahead of time."""
    log_every: Positive
    """Steps between two lines of the log."""

    @property
    def rows_per_step(self) -> int:
        """The rows of one step of the optimizer."""
        return self.batch * self.accumulation


class Evaluation(Section):
    """How the model is evaluated while it is trained."""

    every: Positive
    """Steps between two evaluations; each also writes a checkpoint."""
    keep: Positive
    """Checkpoints that are kept, beside the best one."""
    samples: Positive
    """Held-out rows that the model answers."""
    batch: Positive
    """Rows that it answers at once."""
    new_tokens: Positive
    """The longest answer, in tokens."""
    loss_rows: Positive
    """Held-out rows whose loss is measured."""


class Settings(Section):
    """A whole recipe."""

    base: Base
    adapter: Adapter
    data: Data
    training: Training
    evaluation: Evaluation
