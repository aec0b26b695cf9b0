"""The request of `finops quantize`, the names of its files, and the checks before it starts."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from finops_cli import extras
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.models.llama_cpp.connect import refuse_without_extra
from finops_cli.weights import llama_quantize
from finops_cli.weights.llama_quantize import PRECISIONS, Precision, Quantized

FileType = Precision | Quantized
_FAMILIES = {"qwen3": "qwen3", "qwen35": "qwen3.5", "llama": "mistral"}
_SIZES = ((10**9, "b"), (10**6, "m"), (10**3, "k"))


class QuantizationRequest(Struct, frozen=True, kw_only=True):
    """The requested files, and the model to make them from: `base` or `gguf`."""

    stage: StageName
    base: Path | None
    adapter: Path | None
    gguf: Path | None
    types: tuple[FileType, ...]
    folder: Path
    name: str | None
    """None: a name from stage, family and size."""
    held_out: Path | None
    """The rows for the accuracy check; None: no check."""
    rows: int | None
    """None: the number in the knowledge base."""
    threads: int


def make_file_name(name: str, file_type: FileType) -> str:
    """Return the name of a file of a model."""
    return f"{name}-{file_type}.gguf"


def make_model_name(stage: StageName, architecture: str, parameters: int) -> str:
    """Return the name of a model. For a published model it is the name in its Modelfile."""
    unit, letter = next(((unit, letter) for unit, letter in _SIZES if parameters >= unit), (1, ""))
    return f"finops-{stage}-{_FAMILIES[architecture]}-{(parameters + unit // 2) // unit}{letter}"


def refuse_unusable(request: QuantizationRequest) -> None:
    """Raise UsageError or MissingPiece for requests that would fail only after long work."""
    if (request.base is None) == (request.gguf is None):
        raise UsageError(
            "give either --base DIR (a model saved by transformers) or --gguf FILE (a converted"
            " model)"
        )
    if request.gguf is not None and request.adapter is not None:
        raise UsageError(
            "--adapter needs --base: an adapter is merged into the 16-bit model before conversion"
        )
    if len([each for each in request.types if each in PRECISIONS]) > 1:
        raise UsageError(
            "--type: give at most one of f16, bf16 and f32; the other files are made from it"
        )
    if request.gguf is not None and any(each in PRECISIONS for each in request.types):
        raise UsageError("--gguf FILE can only be quantized. Expected --type q8_0 or q4_k_m.")
    if request.name is not None:
        if (
            Path(request.name).name != request.name
            or request.name.startswith(".")
            or not request.name.isprintable()
        ):
            raise UsageError(
                f"--name {request.name} is not a file name", "give the folder with --output DIR"
            )
        refuse_taken_names(request, request.name)
    if request.folder.exists() and not request.folder.is_dir():
        raise UsageError(f"{request.folder}: is a file", "give a folder, or omit --output")
    if find_spec("numpy") is None:
        raise MissingPiece("quantizing needs numpy", extras.cure("export"))
    if any(each in llama_quantize.QUANTIZED_TYPES for each in request.types):
        llama_quantize.refuse_without_llama()
    if request.held_out is not None:
        refuse_without_extra()


def refuse_taken_names(request: QuantizationRequest, name: str) -> None:
    """Raise UsageError if an output could not get its name at the end."""
    for path in (
        request.folder / each
        for each in (
            *(make_file_name(name, file_type) for file_type in request.types),
            f"{name}.manifest.json",
        )
    ):
        try:
            path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "give another --name") from error
        if not path.is_file():
            raise UsageError(f"{path} is not a file", "move it, or give another --name")


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Raise UsageError if the unquantized file does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{folder} has {free:,} bytes free, but the unquantized file alone needs {needed:,}",
            "free some space",
        )
