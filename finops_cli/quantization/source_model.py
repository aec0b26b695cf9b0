"""The model before quantization: converted from a checkpoint, or an existing GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from finops_cli.errors import UsageError
from finops_cli.models import bundled
from finops_cli.models.gguf import Head, NotGguf, read_head
from finops_cli.models.transformers.model_note import NOTE, read_note, refuse_other_base
from finops_cli.quantization.manifest import InputFile, MergedAdapter, describe_files
from finops_cli.quantization.request import (
    QuantizationRequest,
    make_model_name,
    refuse_full_disk,
    refuse_taken_names,
)
from finops_cli.weights.llama_quantize import PRECISIONS, Precision

if TYPE_CHECKING:
    from finops_cli.weights.lora import LoraAdapter

Watch = Callable[[str, int, int], None]
"""Called with a description of the current work, the finished amount and the total amount."""


class SourceModel(NamedTuple):
    """An unquantized file, and the inputs that it was made from."""

    path: Path
    type: Precision
    name: str
    """The name of the model, without the type of the file."""
    modelfile: str | None
    architecture: str
    parameters: int | None
    base: list[InputFile]
    adapter: MergedAdapter | None


def convert_checkpoint(request: QuantizationRequest, work: Path, watch: Watch) -> SourceModel:
    """Convert the model in `request.base`, with its adapter, to a file in the folder `work`."""
    from finops_cli.weights.checkpoint import WEIGHTS, read_checkpoint
    from finops_cli.weights.convert import ModelName, convert, plan_conversion
    from finops_cli.weights.gguf_tokenizer import FILES
    from finops_cli.weights.lora import read_adapter

    assert request.base is not None  # noqa: S101 - `refuse_unusable` checks it
    checkpoint = read_checkpoint(request.base)
    adapter = read_adapter(request.adapter) if request.adapter else None
    planned = plan_conversion(checkpoint, adapter)
    precision = next((each for each in PRECISIONS if each in request.types), next(iter(PRECISIONS)))
    refuse_full_disk(request.folder, planned.bytes(precision))
    modelfile, notes = _read_modelfile_note(request)
    name = request.name or make_model_name(request.stage, planned.network.name, planned.parameters)
    refuse_taken_names(request, name)
    path = work / f"{precision}.gguf"
    files = describe_files(
        [
            *checkpoint.files,
            *(request.base / file for file in FILES if (request.base / file).is_file()),
            *notes,
        ]
    )
    if request.adapter:
        refuse_other_base(
            request.adapter,
            {each.name: each.sha256 for each in files if each.name.endswith(WEIGHTS)},
        )
    convert(
        planned,
        path,
        precision,
        ModelName(name, modelfile),
        lambda done, total: watch(f"converting to {precision}", done, total),
    )
    return SourceModel(
        path=path,
        type=precision,
        name=name,
        modelfile=modelfile,
        architecture=planned.network.name,
        parameters=planned.parameters,
        base=files,
        adapter=_describe_adapter(adapter) if adapter else None,
    )


def _describe_adapter(adapter: LoraAdapter) -> MergedAdapter:
    return MergedAdapter(
        adapter.rank, adapter.alpha, len(adapter.pairs), describe_files(adapter.files)
    )


def open_gguf(request: QuantizationRequest, path: Path) -> SourceModel:
    """Open the user's own GGUF file."""
    head = read_gguf_head(path)
    file_type = head.pairs.get("general.file_type")
    precision = next(
        (name for name, numbers in PRECISIONS.items() if numbers.file_type == file_type), None
    )
    if precision is None:
        if file_type is None:
            raise UsageError(
                f"{path} does not say its type (general.file_type)",
                "convert the model with --base DIR",
            )
        raise UsageError(
            f"{path} is quantized already", "give the 16- or 32-bit file that it was made from"
        )
    name = request.name or path.stem.removesuffix(f"-{precision}").removesuffix(
        f"-{precision.upper()}"
    )
    refuse_taken_names(request, name)
    for_prompt = head.pairs.get(bundled.MADE_FOR)
    modelfile = (
        None
        if for_prompt is None
        else bundled.find_prompt_modelfile(request.stage, for_prompt, path)
    )
    return SourceModel(
        path=path,
        type=precision,
        name=name,
        modelfile=modelfile,
        architecture=str(head.pairs.get("general.architecture")),
        parameters=None,
        base=describe_files([path]),
        adapter=None,
    )


def _read_modelfile_note(request: QuantizationRequest) -> tuple[str | None, list[Path]]:
    """Return the Modelfile that the adapter or the base was trained for, and the note with it.

    Raises UsageError for a Modelfile of another stage.
    """
    for folder in (request.adapter, request.base):
        note = read_note(folder) if folder is not None else None
        if folder is not None and note is not None:
            return bundled.find_prompt_modelfile(request.stage, note.modelfile, folder / NOTE), [
                folder / NOTE
            ]
    return None, []


def read_gguf_head(path: Path) -> Head:
    """Read the head of a GGUF file. Raises UsageError for any other file."""
    if not path.is_file():
        raise UsageError(f"{path}: no such GGUF file", "give a file in GGUF format")
    try:
        return read_head(path)
    except NotGguf as error:
        raise UsageError(
            f"{path} is not a GGUF file: {error}", "give a file in GGUF format"
        ) from error
