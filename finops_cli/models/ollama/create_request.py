"""What a model is made of: the request to Ollama that a Modelfile stands for, and the files that go
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from msgspec import Struct

from finops_cli.errors import MissingPiece, UsageError
from finops_cli.models import bundled
from finops_cli.models.modelfile import Modelfile, read_modelfile, typed_parameters
from finops_cli.models.ollama_options import Value
from finops_cli.models.prompts import Stage

Field = Literal["files", "adapters", "draft_files"]

QUANTIZATIONS = ("q4_K_S", "q4_K_M", "q8_0", "f16", "bf16", "f32")
_MAGIC = b"GGUF"
_POINTER = b"version https://git-lfs"
_MODEL_ENDINGS = (".gguf", ".bin", ".safetensors")


class CreateOptions(Struct, frozen=True, kw_only=True):
    """What the user asks for.

    `modelfile` is one that ships where it is None; `gguf` takes the place of its FROM.
    """

    stage: Stage
    name: str
    modelfile: Path | None = None
    gguf: Path | None = None
    quantize: str | None = None


class ModelFile(NamedTuple):
    """A file of the request under the name that it has there.

    `path` is None when it is at none of the places `sought`.
    """

    field: Field
    name: str
    path: Path | None
    sought: tuple[Path, ...]


class CreatePlan(NamedTuple):
    """A model to be made: of `pieces`, or `base`, a model of the server.

    `parameters` are typed, `texts` go as they are.
    """

    model: str
    base: str | None
    pieces: tuple[ModelFile, ...]
    parameters: dict[str, Value]
    texts: dict[str, object]


def plan(order: CreateOptions) -> CreatePlan:
    """What `order` comes to.

    Raises UsageError for a Modelfile or an option that cannot be carried out; files may be missing
    yet.
    """
    _refuse_unwritable("--name", order.name)
    modelfile = _modelfile(order)
    folder = modelfile.path.parent
    bases = (str(order.gguf.absolute()),) if order.gguf else modelfile.bases
    sources = [_source(folder, "files", base) for base in bases]
    files = [source for source in sources if isinstance(source, ModelFile)]
    named = [source for source in sources if isinstance(source, str)]
    if len(named) > 1 or (named and files):
        raise UsageError(
            f"{modelfile.path}: FROM names {', '.join(bases)}; one model, or one or more files, not"
            " both"
        )
    files += [_piece(folder, "adapters", adapter) for adapter in modelfile.adapters]
    files += [_piece(folder, "draft_files", draft) for draft in modelfile.drafts]
    _refuse_equal_names(files)
    return CreatePlan(
        order.name,
        named[0] if named else None,
        tuple(files),
        typed_parameters(modelfile),
        _texts(modelfile, order),
    )


def _modelfile(order: CreateOptions) -> Modelfile:
    """The one that is named; else the one that the model file is made for; else that of the
    stage.
    """
    if order.modelfile is not None:
        return read_modelfile(order.modelfile)
    named = order.gguf is not None and order.gguf.is_file()
    return bundled.modelfile(
        bundled.made_for_by_file(order.stage, order.gguf) if named and order.gguf else order.stage
    )


def request(plan: CreatePlan, digests: Mapping[Path, str]) -> dict[str, object]:
    """The body of `POST /api/create`. A file whose digest is not known stands with null."""
    body: dict[str, object] = {"model": plan.model}
    if plan.base is not None:
        body["from"] = plan.base
    for field in get_args(Field):
        files = {
            piece.name: digests.get(piece.path) if piece.path else None
            for piece in plan.pieces
            if piece.field == field
        }
        if files:
            body[field] = files
    if plan.parameters:
        body["parameters"] = plan.parameters
    return {**body, **plan.texts, "stream": True}


def refuse_unusable(plan: CreatePlan, order: CreateOptions) -> None:
    """Raises MissingPiece for a file that is not there, UsageError for one that is no GGUF file."""
    for piece in plan.pieces:
        if piece.path is None:
            places = " nor ".join(str(place.parent) for place in piece.sought)
            raise MissingPiece(
                f"{piece.name}: there is no such file in {places}; train and quantize the"
                f" {order.stage} model or download it, then keep it there under this name, or say"
                " where it is: --gguf FILE"
            )
        _refuse_no_gguf(piece.path)


def _source(folder: Path, field: Field, text: str) -> ModelFile | str:
    """A FROM line as a file, or as the name of a model where no such file is there and it does not
    look like one.
    """
    piece = _piece(folder, field, text)
    return text if piece.path is None and not _looks_like_a_file(text) else piece


def _piece(folder: Path, field: Field, text: str) -> ModelFile:
    try:
        given = Path(text).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise UsageError(f"FROM {text}: {error}; write the path out") from error
    sought = tuple(dict.fromkeys((folder.absolute() / given, Path.cwd() / given)))
    for path in sought:
        if path.is_dir():
            raise UsageError(
                f"{path}: is a folder; convert the model to one GGUF file, then name that"
            )
        _refuse_unwritable("the model's file", str(path))
    return ModelFile(
        field, given.name, next((path for path in sought if path.is_file()), None), sought
    )


def _refuse_unwritable(what: str, text: str) -> None:
    """Raises UsageError for a name that JSON cannot hold, neither in the request nor in what is
    told of it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} {text!a}: is not UTF-8, which the server takes; rename it"
        ) from error


def _looks_like_a_file(text: str) -> bool:
    return (
        text.startswith((".", "/", "~", "\\"))
        or text[1:3] == ":\\"
        or text.lower().endswith(_MODEL_ENDINGS)
    )


def _refuse_equal_names(pieces: list[ModelFile]) -> None:
    names = [(piece.field, piece.name) for piece in pieces]
    twice = [name for field, name in names if names.count((field, name)) > 1]
    if twice:
        raise UsageError(
            f"two files are named {twice[0]}; the server tells them apart by name, so rename one"
        )


def _texts(modelfile: Modelfile, order: CreateOptions) -> dict[str, object]:
    texts: dict[str, object] = {
        "template": modelfile.template,
        "system": modelfile.system,
        "license": list(modelfile.licenses) or None,
        "messages": list(modelfile.messages) or None,
        "renderer": modelfile.renderer,
        "parser": modelfile.parser,
        "requires": modelfile.requires,
        "quantize": _quantization(order.quantize),
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


def _refuse_no_gguf(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(_POINTER))
    if head == _POINTER:
        raise UsageError(
            f"{path}: is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
        )
    if not head.startswith(_MAGIC):
        raise UsageError(
            f"{path}: begins with {head[:4]!r}, not with GGUF; convert the model to GGUF"
            " (llama.cpp) first"
        )
