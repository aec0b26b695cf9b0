"""The manifest of quantized files: inputs, versions, settings, and the accuracy of the answers.

It contains neither time nor paths, so equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from finops_cli.datasets.grading import Scores
from finops_cli.domain.stage_names import StageName
from finops_cli.files.digests import sha256_of_file
from finops_cli.version import __version__

_PACKAGES = ("numpy", "llama-cpp-python")


class InputFile(Struct, frozen=True):
    """An input file."""

    name: str
    """The file name without its folder."""
    bytes: int
    sha256: str


class MergedAdapter(Struct, frozen=True):
    """The adapter that was merged into the base."""

    rank: int
    alpha: float
    tensors: int
    files: list[InputFile]


class OutputFile(Struct, frozen=True, kw_only=True):
    """An output file."""

    name: str
    kind: str
    bytes: int
    sha256: str
    tensors: dict[str, int]
    """The number of tensors by type."""
    scores: Scores | None
    """None without an accuracy check."""
    loss: dict[str, Decimal] | None
    """Lost percentage points; None without an accuracy check."""
    kept: bool
    """False for a file that lost more accuracy than the knowledge base allows. Such a file is
    deleted.
    """


class Manifest(Struct, frozen=True, kw_only=True):
    """The record of one `finops quantize`."""

    model: str
    stage: StageName
    modelfile: str | None
    """The Modelfile that the model was trained for; None: the Modelfile of its stage."""
    architecture: str
    parameters: int | None
    base: list[InputFile]
    """The files of the checkpoint, or the GGUF file."""
    adapter: MergedAdapter | None
    held_out: InputFile | None
    before: Scores | None
    """The scores of the unquantized model."""
    allowed_loss: dict[str, Decimal] | None
    outputs: list[OutputFile]
    kb: str
    versions: dict[str, str]

    @property
    def kept(self) -> bool:
        """Return whether every file was kept."""
        return all(made.kept for made in self.outputs)


def describe_files(files: Iterable[Path]) -> list[InputFile]:
    """Describe `files` with their digests."""
    return [InputFile(file.name, file.stat().st_size, sha256_of_file(file)[0]) for file in files]


def read_package_versions(quantized: bool) -> dict[str, str]:
    """Return the versions of the packages that the bytes of the outputs depend on."""
    return {
        "finops": __version__,
        **{name: version(name) for name in _PACKAGES if quantized or name == "numpy"},
    }
