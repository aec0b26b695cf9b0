"""Make the files that llama.cpp runs from a trained model: merge, convert, quantize, check, keep.

All work is done in a temporary folder beside the outputs. A file gets its name when it is complete
and checked; until then an earlier file of that name stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

from finops_cli.datasets.grading import Scores
from finops_cli.datasets.rows import Row
from finops_cli.errors import UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.safe_io import work_folder, write_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import bundled
from finops_cli.quantization.accuracy_check import check_accuracy, read_held_out
from finops_cli.quantization.manifest import (
    InputFile,
    Manifest,
    OutputFile,
    describe_files,
    read_package_versions,
)
from finops_cli.quantization.request import (
    FileType,
    QuantizationRequest,
    make_file_name,
    refuse_unusable,
)
from finops_cli.quantization.source_model import (
    SourceModel,
    Watch,
    convert_checkpoint,
    open_gguf,
    read_gguf_head,
)
from finops_cli.weights import llama_quantize


class AccuracyBaseline(NamedTuple):
    """The answers of the unquantized model, for comparison."""

    rows: list[Row]
    source: InputFile
    """The file of the rows."""
    scores: Scores


def quantize(request: QuantizationRequest, kb: KnowledgeBase, watch: Watch) -> Manifest:
    """Make the requested files. Files that lost too much accuracy are not kept.

    Raises UsageError (an unusable model, adapter or option), MissingPiece (an extra), Unfinished
    (llama.cpp failed).
    """
    types = [each for each in request.types if each in llama_quantize.QUANTIZED_TYPES]
    refuse_unusable(request)
    rows = _read_rows(request, kb) if request.held_out else []
    with _made(request.folder), work_folder(request.folder, "finops-quantizing-") as work:
        if request.gguf is not None:
            source = open_gguf(request, request.gguf)
        else:
            source = convert_checkpoint(request, work, watch)
        baseline = None
        if request.held_out is not None:
            scores = _check(source.path, request, rows, kb, watch)
            baseline = AccuracyBaseline(rows, describe_files([request.held_out])[0], scores)
        outputs: dict[Path, OutputFile] = {}
        for file_type in types:
            path = work / f"{file_type}.gguf"
            on_tensor = partial(watch, f"quantizing to {file_type}")
            llama_quantize.quantize_file(source.path, path, file_type, request.threads, on_tensor)
            after = _check(path, request, rows, kb, watch) if baseline else None
            outputs[path] = _describe_output(path, file_type, source.name, baseline, after, kb)
        if source.type in request.types:
            before = baseline.scores if baseline else None
            outputs[source.path] = _describe_output(
                source.path, source.type, source.name, baseline, before, kb
            )
        manifest = _make_manifest(request, kb, source, baseline, list(outputs.values()))
        for path, output in outputs.items():
            if output.kept:
                path.replace(request.folder / output.name)
    if any(output.kept for output in manifest.outputs):
        write_json(request.folder / f"{source.name}.manifest.json", manifest)
    return manifest


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the folder of the outputs where it is missing; a failure leaves no empty one."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def make_create_command(manifest: Manifest, folder: Path) -> str | None:
    """Return the command that puts the smallest kept file into Ollama; None if none was kept."""
    kept = sorted(
        (output for output in manifest.outputs if output.kept), key=lambda output: output.bytes
    )
    if not kept:
        return None
    bases = bundled.modelfile(manifest.modelfile or manifest.stage).bases
    is_default = f"./{kept[0].name}" in bases and folder.resolve() == Path.cwd()
    option = "" if is_default else f" --gguf {folder / kept[0].name}"
    return f"finops create --stage {manifest.stage}{option}"


def _read_rows(request: QuantizationRequest, kb: KnowledgeBase) -> list[Row]:
    assert request.held_out is not None  # noqa: S101 - the caller checks it
    rows = read_held_out(request.held_out, request.stage, request.rows or kb.quantization.rows)
    if request.rows is not None and len(rows) < request.rows:
        raise UsageError(
            f"{request.held_out} has {len(rows):,} rows, but --rows asks for {request.rows:,}",
            "ask for fewer rows, or give a larger file",
        )
    return rows


def _check(
    path: Path, request: QuantizationRequest, rows: list[Row], kb: KnowledgeBase, watch: Watch
) -> Scores:
    """Ask the model in the file `path` about the rows, and grade its answers."""
    what = f"asking {path.stem} about {len(rows):,} records"
    return check_accuracy(path, request.stage, rows, kb, lambda done: watch(what, done, len(rows)))


def _describe_output(
    path: Path,
    file_type: FileType,
    name: str,
    baseline: AccuracyBaseline | None,
    scores: Scores | None,
    kb: KnowledgeBase,
) -> OutputFile:
    """Describe the file at `path`. It is kept unless it lost more accuracy than the knowledge base
    allows.
    """
    loss = _measure_loss(baseline.scores, scores) if baseline and scores else None
    return OutputFile(
        name=make_file_name(name, file_type),
        kind=file_type,
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path)[0],
        tensors=read_gguf_head(path).kinds,
        scores=scores,
        loss=loss,
        kept=loss is None
        or all(points <= kb.quantization.loss[what] for what, points in loss.items()),
    )


def _measure_loss(before: Scores, after: Scores) -> dict[str, Decimal]:
    """Return the lost percentage points, to two places."""
    lost = {"valid": before.valid - after.valid, "exact": before.exact - after.exact}
    return {
        what: (Decimal(100 * count) / before.asked).quantize(Decimal("0.01"))
        for what, count in lost.items()
    }


def _make_manifest(
    request: QuantizationRequest,
    kb: KnowledgeBase,
    source: SourceModel,
    baseline: AccuracyBaseline | None,
    outputs: list[OutputFile],
) -> Manifest:
    uses_llama_cpp = any(each.kind in llama_quantize.QUANTIZED_TYPES for each in outputs)
    return Manifest(
        model=source.name,
        stage=request.stage,
        modelfile=source.modelfile,
        architecture=source.architecture,
        parameters=source.parameters,
        base=source.base,
        adapter=source.adapter,
        held_out=baseline.source if baseline else None,
        before=baseline.scores if baseline else None,
        allowed_loss=dict(kb.quantization.loss) if baseline else None,
        outputs=outputs,
        kb=kb.version,
        versions=read_package_versions(uses_llama_cpp),
    )
