"""What a quantized model was made of, by which versions and settings, and how it answers.

Equal inputs give equal bytes: no clock, no paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from finops_cli import __version__
from finops_cli.datasets.grading import Scores
from finops_cli.domain.stage_names import StageName
from finops_cli.files.digests import sha256_of_file

_PACKAGES = ("numpy", "llama-cpp-python")


class Input(Struct, frozen=True):
    """A file that was read. `name` is without its folder."""

    name: str
    bytes: int
    sha256: str


class Merged(Struct, frozen=True):
    """The adapter that was merged."""

    rank: int
    alpha: float
    tensors: int
    files: list[Input]


class Made(Struct, frozen=True, kw_only=True):
    """A file that was made. `tensors`: how many are stored as what. `scores` and `loss` (percentage
    points) are null where none was tried.

    `kept`: it has its name; a file that lost more than it may is gone.
    """

    name: str
    kind: str
    bytes: int
    sha256: str
    tensors: dict[str, int]
    scores: Scores | None
    loss: dict[str, Decimal] | None
    kept: bool


class Manifest(Struct, frozen=True, kw_only=True):
    """`base` is the checkpoint, or the GGUF file that was begun with. `before`: how the model
    answers before it is quantized.

    `modelfile`: which one it is made for; null: that of its stage.
    """

    model: str
    stage: StageName
    modelfile: str | None
    architecture: str
    parameters: int | None
    base: list[Input]
    adapter: Merged | None
    held_out: Input | None
    before: Scores | None
    allowed_loss: dict[str, Decimal] | None
    outputs: list[Made]
    kb: str
    versions: dict[str, str]

    @property
    def kept(self) -> bool:
        """Whether every file has its name."""
        return all(made.kept for made in self.outputs)


def inputs(files: Iterable[Path]) -> list[Input]:
    """`files` with their digests."""
    return [Input(file.name, file.stat().st_size, sha256_of_file(file)[0]) for file in files]


def versions(quantized: bool) -> dict[str, str]:
    """Of what the bytes of the outputs depend on."""
    return {
        "finops": __version__,
        **{name: version(name) for name in _PACKAGES if quantized or name == "numpy"},
    }
