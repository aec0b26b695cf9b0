"""From a trained model to files that llama.cpp runs: merge, convert, quantize, try, and let go of
what stood the trial.

Everything is written in a folder of its own beside the outputs. A file takes its name when it is
whole and has been tried; what stood under that name stays until then.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from finops_cli import extras
from finops_cli.datasets.grading import Scores
from finops_cli.datasets.rows import Row
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.safe_io import write_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.models.gguf import Head, NotGguf, read_head
from finops_cli.models.llama_cpp.connect import refuse_without_extra
from finops_cli.quantization.accuracy_check import held_out, try_model
from finops_cli.quantization.manifest import Input, Made, Manifest, Merged, inputs, versions
from finops_cli.weights import llama_quantize
from finops_cli.weights.llama_quantize import PRECISIONS, Precision, Quantized
from finops_cli.weights.model_note import NOTE, read_note, refuse_other_base

Kind = Precision | Quantized
_FAMILIES = {"qwen3": "qwen3", "qwen35": "qwen3.5"}
_SIZES = ((10**9, "b"), (10**6, "m"), (10**3, "k"))

Watch = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much is."""


class Order(Struct, frozen=True, kw_only=True):
    """What the user asks for: a checkpoint in `base`, with or without an adapter, or a GGUF file to
    begin with.

    `rows` None: as kb says. `held_out` None: the model is not tried. `name` None: from stage,
    family and size.
    """

    stage: StageName
    base: Path | None
    adapter: Path | None
    gguf: Path | None
    kinds: tuple[Kind, ...]
    folder: Path
    name: str | None
    held_out: Path | None
    rows: int | None
    threads: int


class _Begun(NamedTuple):
    """The unquantized file, what it is made of, and what it is called without its kind."""

    path: Path
    kind: Precision
    name: str
    modelfile: str | None
    architecture: str
    parameters: int | None
    base: list[Input]
    adapter: Merged | None


class _Trial(NamedTuple):
    """The rows, the file that they come from, and what of them the unquantized model gets right."""

    rows: list[Row]
    source: Input
    before: Scores


def quantize(order: Order, kb: KnowledgeBase, watch: Watch) -> Manifest:
    """Make what `order` asks for. In the manifest `kept` is false where a file lost more than it
    may; it then has no name.

    Raises UsageError (a model, adapter or option that is no use), MissingPiece (an extra),
    Unfinished (llama.cpp gave up).
    """
    quantized = [kind for kind in order.kinds if kind in llama_quantize.KINDS]
    _refuse_unusable(order, bool(quantized))
    rows = _held_out(order, kb) if order.held_out else []
    with tempfile.TemporaryDirectory(prefix="finops-quantizing-", dir=order.folder) as work:
        begun = (
            _begun_with(order, order.gguf) if order.gguf else _converted(order, Path(work), watch)
        )
        trial = None
        if order.held_out:
            trial = _Trial(
                rows, inputs([order.held_out])[0], _tried(begun.path, order, rows, kb, watch)
            )
        made: dict[Path, Made] = {}
        for kind in quantized:
            path = Path(work) / f"{kind}.gguf"
            llama_quantize.quantize_file(
                begun.path, path, kind, order.threads, partial(watch, f"quantizing to {kind}")
            )
            made[path] = _made(
                path,
                kind,
                begun.name,
                trial,
                _tried(path, order, rows, kb, watch) if trial else None,
                kb,
            )
        if begun.kind in order.kinds:
            made[begun.path] = _made(
                begun.path, begun.kind, begun.name, trial, trial.before if trial else None, kb
            )
        manifest = _manifest(order, kb, begun, trial, list(made.values()))
        for path, each in made.items():
            if each.kept:
                path.replace(order.folder / each.name)
    if any(each.kept for each in manifest.outputs):
        write_json(order.folder / f"{begun.name}.manifest.json", manifest)
    return manifest


def file_name(name: str, kind: Kind) -> str:
    """What a file of a model is called."""
    return f"{name}-{kind}.gguf"


def model_name(stage: StageName, architecture: str, parameters: int) -> str:
    """What a model is called: as its Modelfile does, when it is the published one."""
    unit, letter = next(((unit, letter) for unit, letter in _SIZES if parameters >= unit), (1, ""))
    return f"finops-{stage}-{_FAMILIES[architecture]}-{(parameters + unit // 2) // unit}{letter}"


def create_command(manifest: Manifest, folder: Path) -> str | None:
    """The command that puts the smallest kept file into Ollama; None where nothing was kept."""
    kept = sorted((made for made in manifest.outputs if made.kept), key=lambda made: made.bytes)
    if not kept:
        return None
    bases = bundled.modelfile(manifest.modelfile or manifest.stage).bases
    named = (
        ""
        if f"./{kept[0].name}" in bases and folder.resolve() == Path.cwd()
        else f" --gguf {folder / kept[0].name}"
    )
    return f"finops create --stage {manifest.stage}{named}"


def _refuse_unusable(order: Order, quantizes: bool) -> None:
    """Raises what would otherwise come up after an hour's work."""
    if (order.base is None) == (order.gguf is None):
        raise UsageError(
            "give --base DIR (a model as transformers saves it) or --gguf FILE (one that is"
            " converted already)"
        )
    if order.gguf is not None and order.adapter is not None:
        raise UsageError(
            "--adapter goes with --base: an adapter is merged into the 16-bit model, before it is"
            " converted"
        )
    if len([kind for kind in order.kinds if kind in PRECISIONS]) > 1:
        raise UsageError("--type f16, bf16, f32: one of them, from which the others are made")
    if order.gguf is not None and any(kind in PRECISIONS for kind in order.kinds):
        raise UsageError("--gguf FILE is to be quantized: --type q8_0 or q4_k_m, and no other")
    if order.name is not None:
        if (
            Path(order.name).name != order.name
            or order.name.startswith(".")
            or not order.name.isprintable()
        ):
            raise UsageError(f"--name {order.name}: is no file name", "--output DIR says where")
        _refuse_taken(order, order.name)
    if not order.folder.is_dir():
        raise UsageError(f"{order.folder}: no such folder", "make it, or leave --output out")
    if find_spec("numpy") is None:
        raise MissingPiece("quantizing needs numpy", extras.cure("export"))
    if quantizes:
        llama_quantize.refuse_without_llama()
    if order.held_out is not None:
        refuse_without_extra()


def _refuse_taken(order: Order, name: str) -> None:
    """Raises UsageError where a file could not take its name when it is made."""
    for path in (
        order.folder / each
        for each in (*(file_name(name, kind) for kind in order.kinds), f"{name}.manifest.json")
    ):
        try:
            path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "give another --name") from error
        if not path.is_file():
            raise UsageError(
                f"{path}: is no file, and would have to be replaced",
                "give another --name, or move it",
            )


def _held_out(order: Order, kb: KnowledgeBase) -> list[Row]:
    assert order.held_out is not None  # noqa: S101 - asked by the caller
    rows = held_out(order.held_out, order.stage, order.rows or kb.quantization.rows)
    if order.rows is not None and len(rows) < order.rows:
        raise UsageError(
            f"{order.held_out}: holds {len(rows):,} rows; --rows {order.rows:,} asks for more"
        )
    return rows


def _converted(order: Order, work: Path, watch: Watch) -> _Begun:
    from finops_cli.weights.checkpoint import WEIGHTS, read_checkpoint
    from finops_cli.weights.convert import Named, convert, plan_conversion
    from finops_cli.weights.gguf_tokenizer import FILES
    from finops_cli.weights.lora import read_adapter

    assert order.base is not None  # noqa: S101 - `_refuse_unusable` saw to it
    checkpoint = read_checkpoint(order.base)
    adapter = read_adapter(order.adapter) if order.adapter else None
    planned = plan_conversion(checkpoint, adapter)
    kind = next((kind for kind in PRECISIONS if kind in order.kinds), next(iter(PRECISIONS)))
    _refuse_full(order.folder, planned.bytes(kind))
    modelfile, notes = _noted(order)
    name = order.name or model_name(order.stage, planned.network.name, planned.parameters)
    _refuse_taken(order, name)
    path = work / f"{kind}.gguf"
    read = inputs(
        [
            *checkpoint.files,
            *(order.base / file for file in FILES if (order.base / file).is_file()),
            *notes,
        ]
    )
    if order.adapter:
        refuse_other_base(
            order.adapter, {each.name: each.sha256 for each in read if each.name.endswith(WEIGHTS)}
        )
    convert(
        planned,
        path,
        kind,
        Named(name, modelfile),
        lambda done, total: watch(f"converting to {kind}", done, total),
    )
    merged = (
        Merged(adapter.rank, adapter.alpha, len(adapter.pairs), inputs(adapter.files))
        if adapter
        else None
    )
    return _Begun(
        path, kind, name, modelfile, planned.network.name, planned.parameters, read, merged
    )


def _begun_with(order: Order, path: Path) -> _Begun:
    """The GGUF file that the user has already."""
    head = _head(path)
    said = head.pairs.get("general.file_type")
    kind = next(
        (kind for kind, unquantized in PRECISIONS.items() if unquantized.file_type == said), None
    )
    if kind is None:
        if said is None:
            raise UsageError(
                f"{path}: does not say of what type it is (general.file_type)",
                "convert the model with --base DIR",
            )
        raise UsageError(
            f"{path}: is quantized already", "give the file of 16 or 32 bits that it was made from"
        )
    name = order.name or path.stem.removesuffix(f"-{kind}").removesuffix(f"-{kind.upper()}")
    _refuse_taken(order, name)
    for_prompt = head.pairs.get(bundled.MADE_FOR)
    modelfile = None if for_prompt is None else bundled.made_for(order.stage, for_prompt, path)
    return _Begun(
        path,
        kind,
        name,
        modelfile,
        str(head.pairs.get("general.architecture")),
        None,
        inputs([path]),
        None,
    )


def _noted(order: Order) -> tuple[str | None, list[Path]]:
    """The Modelfile that adapter or base says it is made for, and the note that says so.

    Raises UsageError for one of another stage.
    """
    for folder in (order.adapter, order.base):
        note = read_note(folder) if folder is not None else None
        if folder is not None and note is not None:
            return bundled.made_for(order.stage, note.modelfile, folder / NOTE), [folder / NOTE]
    return None, []


def _head(path: Path) -> Head:
    if not path.is_file():
        raise UsageError(f"{path}: no such GGUF file")
    try:
        return read_head(path)
    except NotGguf as error:
        raise UsageError(f"{path}: is no GGUF file: {error}") from error


def _refuse_full(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"{folder}: has {free:,} bytes free, and the file before quantizing alone takes"
            f" {needed:,}",
            "free some space",
        )


def _tried(path: Path, order: Order, rows: list[Row], kb: KnowledgeBase, watch: Watch) -> Scores:
    what = f"asking {path.stem} about {len(rows):,} records"
    return try_model(path, order.stage, rows, kb, lambda done: watch(what, done, len(rows)))


def _made(
    path: Path,
    kind: Kind,
    name: str,
    trial: _Trial | None,
    scores: Scores | None,
    kb: KnowledgeBase,
) -> Made:
    """The file at `path` with what came of its trial: it is kept unless it lost more than it
    may.
    """
    loss = _loss(trial.before, scores) if trial and scores else None
    return Made(
        name=file_name(name, kind),
        kind=kind,
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path)[0],
        tensors=_head(path).kinds,
        scores=scores,
        loss=loss,
        kept=loss is None or all(lost <= kb.quantization.loss[what] for what, lost in loss.items()),
    )


def _loss(before: Scores, after: Scores) -> dict[str, Decimal]:
    """Percentage points, to two places."""
    pairs = {"valid": before.valid - after.valid, "exact": before.exact - after.exact}
    return {
        what: (Decimal(100 * lost) / before.asked).quantize(Decimal("0.01"))
        for what, lost in pairs.items()
    }


def _manifest(
    order: Order, kb: KnowledgeBase, begun: _Begun, trial: _Trial | None, made: list[Made]
) -> Manifest:
    return Manifest(
        model=begun.name,
        stage=order.stage,
        modelfile=begun.modelfile,
        architecture=begun.architecture,
        parameters=begun.parameters,
        base=begun.base,
        adapter=begun.adapter,
        held_out=trial.source if trial else None,
        before=trial.before if trial else None,
        allowed_loss=dict(kb.quantization.loss) if trial else None,
        outputs=made,
        kb=kb.version,
        versions=versions(any(each.kind in llama_quantize.KINDS for each in made)),
    )
