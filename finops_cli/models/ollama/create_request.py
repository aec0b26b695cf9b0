"""Build the request to Ollama that creates a model from a Modelfile, and find its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.models import bundled
from finops_cli.models.gguf_file import refuse_unusable_gguf
from finops_cli.models.modelfile import Modelfile, read_modelfile, typed_parameters
from finops_cli.models.ollama_options import Value

Field = Literal["files", "adapters", "draft_files"]

QUANTIZATIONS = ("q4_K_S", "q4_K_M", "q8_0", "f16", "bf16", "f32")
_MODEL_ENDINGS = (".gguf", ".bin", ".safetensors")


class CreateOptions(Struct, frozen=True, kw_only=True):
    """Options of `finops create`."""

    stage: StageName
    name: str
    modelfile: Path | None = None
    """None: the bundled one."""
    gguf: Path | None = None
    """Replaces FROM in the Modelfile."""
    quantize: str | None = None


class ModelFile(NamedTuple):
    """A file of the request, under its name in the request."""

    field: Field
    name: str
    path: Path | None
    """None if the file is in none of the folders `sought`."""
    sought: tuple[Path, ...]


class CreatePlan(NamedTuple):
    """A model to create, from files or from a model of the server."""

    model: str
    base: str | None
    """The name of the server's model that the new model is made from."""
    files: tuple[ModelFile, ...]
    parameters: dict[str, Value]
    texts: dict[str, object]
    """Instructions that are sent unchanged: template, system prompt and so on."""


def plan(options: CreateOptions) -> CreatePlan:
    """Plan the model of `options`. Its files may still be missing.

    Raises UsageError for an unusable Modelfile or option.
    """
    _refuse_unwritable("--name", options.name)
    modelfile = _modelfile(options)
    folder = modelfile.path.parent
    bases = (str(options.gguf.absolute()),) if options.gguf else modelfile.bases
    sources = [_source(folder, "files", base) for base in bases]
    files = [source for source in sources if isinstance(source, ModelFile)]
    named = [source for source in sources if isinstance(source, str)]
    if len(named) > 1 or (named and files):
        raise UsageError(
            f"{modelfile.path}: FROM names {', '.join(bases)}; one model, or one or more files, not"
            " both"
        )
    files += [_find_file(folder, "adapters", adapter) for adapter in modelfile.adapters]
    files += [_find_file(folder, "draft_files", draft) for draft in modelfile.drafts]
    _refuse_equal_names(files)
    return CreatePlan(
        model=options.name,
        base=named[0] if named else None,
        files=tuple(files),
        parameters=typed_parameters(modelfile),
        texts=_texts(modelfile, options),
    )


def _modelfile(options: CreateOptions) -> Modelfile:
    """Select the Modelfile: the given one, else the one that the model file names, else the stage's
    own.
    """
    if options.modelfile is not None:
        return read_modelfile(options.modelfile)
    named = options.gguf is not None and options.gguf.is_file()
    return bundled.modelfile(
        bundled.read_prompt_modelfile(options.stage, options.gguf)
        if named and options.gguf
        else options.stage
    )


def request(plan: CreatePlan, digests: Mapping[Path, str]) -> dict[str, object]:
    """Build the body of `POST /api/create`. The digest of a missing file is null."""
    body: dict[str, object] = {"model": plan.model}
    if plan.base is not None:
        body["from"] = plan.base
    for field in get_args(Field):
        files = {
            file.name: digests.get(file.path) if file.path else None
            for file in plan.files
            if file.field == field
        }
        if files:
            body[field] = files
    if plan.parameters:
        body["parameters"] = plan.parameters
    return {**body, **plan.texts, "stream": True}


def refuse_unusable(plan: CreatePlan, options: CreateOptions) -> None:
    """Raise MissingPiece for a file that does not exist, UsageError for one that is not GGUF, or
    not whole.
    """
    for file in plan.files:
        if file.path is None and options.gguf is not None and options.gguf.name == file.name:
            raise MissingPiece(f"{options.gguf}: no such file", "give a GGUF file: --gguf FILE")
        if file.path is None:
            places = " nor ".join(str(place.parent) for place in file.sought)
            raise MissingPiece(
                f"{file.name}: no such file in {places}",
                f"train and quantize the {options.stage} model or download it, then put it there"
                " under this name, or give --gguf FILE",
            )
    refuse_unusable_files(plan)


def refuse_unusable_files(plan: CreatePlan) -> None:
    """Raise UsageError for a file that exists and is not a whole GGUF file."""
    for file in plan.files:
        if file.path is not None:
            refuse_unusable_gguf(file.path)


def _source(folder: Path, field: Field, text: str) -> ModelFile | str:
    """Read a FROM line as a file, or as the name of a model.

    It is a model name if no file has this name and the text does not look like a path.
    """
    file = _find_file(folder, field, text)
    return text if file.path is None and not _looks_like_a_file(text) else file


def _find_file(folder: Path, field: Field, text: str) -> ModelFile:
    try:
        given = Path(text).expanduser()
    except RuntimeError as error:  # ~user without a home folder
        raise UsageError(f"FROM {text}: {error}", "write the path out") from error
    sought = tuple(dict.fromkeys((folder.absolute() / given, Path.cwd() / given)))
    for path in sought:
        if path.is_dir():
            raise UsageError(
                f"{path}: is a folder", "convert the model to one GGUF file, then name that"
            )
        _refuse_unwritable("the model's file", str(path))
    return ModelFile(
        field, given.name, next((path for path in sought if path.is_file()), None), sought
    )


def _refuse_unwritable(what: str, text: str) -> None:
    """Raise UsageError for a name that is not UTF-8, because JSON cannot contain it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} {text!a}: is not UTF-8, which the server takes", "rename it"
        ) from error


def _looks_like_a_file(text: str) -> bool:
    return (
        text.startswith((".", "/", "~", "\\"))
        or text[1:3] == ":\\"
        or text.lower().endswith(_MODEL_ENDINGS)
    )


def _refuse_equal_names(files: list[ModelFile]) -> None:
    names = [(file.field, file.name) for file in files]
    twice = [name for field, name in names if names.count((field, name)) > 1]
    if twice:
        raise UsageError(
            f"two files are named {twice[0]}; the server tells them apart by name, so rename one"
        )


def _texts(modelfile: Modelfile, options: CreateOptions) -> dict[str, object]:
    texts: dict[str, object] = {
        "template": modelfile.template,
        "system": modelfile.system,
        "license": list(modelfile.licenses) or None,
        "messages": list(modelfile.messages) or None,
        "renderer": modelfile.renderer,
        "parser": modelfile.parser,
        "requires": modelfile.requires,
        "quantize": _quantization(options.quantize),
    }
    return {name: value for name, value in texts.items() if value is not None}


def _quantization(kind: str | None) -> str | None:
    for known in QUANTIZATIONS:
        if kind is not None and kind.lower() == known.lower():
            return known
    if kind is not None:
        accepted = ", ".join(QUANTIZATIONS)
        raise UsageError(
            f"--quantize {kind}: Ollama makes {accepted}; for any other kind quantize with"
            " llama.cpp first"
        )
    return None
