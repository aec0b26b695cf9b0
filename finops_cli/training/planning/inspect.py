"""Inspect a training run before it starts: rows in tokens, steps, size, and blockers.

The inspection needs neither a GPU nor weights. Without the packages of the extra `train` it covers
less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_cli.datasets.writer import DatasetOptions
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.formats import ANSWERS, Example
from finops_cli.training.data.lengths import (
    Lengths,
    Steps,
    count_packed_blocks,
    count_steps,
    estimate_length,
    summarise_lengths,
)
from finops_cli.training.data.sources import (
    RowSource,
    RowSources,
    open_row_sources,
    read_vocabulary_texts,
    stream_rows,
)
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.recipe import ResolvedRecipe
from finops_cli.training.recipe_schema import Settings
from finops_cli.training.versions import TrainerName, find_missing

if TYPE_CHECKING:
    from finops_cli.training.data.row_checks import Encoded, RowFault
    from finops_cli.training.planning.parameter_counts import Counts

_SAMPLE = 200
"""Number of rows that are measured of a stream, or of data that does not exist yet."""
_SAMPLE_OF_KIND = 20
"""Number of examples of each further kind of `data.mix` that are checked.

Their lengths are not used, because batches are cut by tokens.
"""


class TrainingRequest(NamedTuple):
    """A training run that the user requests."""

    resolved: ResolvedRecipe
    trainer: TrainerName
    kb_dir: Path
    kb: KnowledgeBase
    watch: Callable[[int, int], None]
    """Called with the number of rows inspected and the number of all rows."""


@dataclass
class Inspection:
    """The findings about a training run."""

    sources: RowSources
    is_assumed: bool
    """The data does not exist yet; the sizes of the published datasets are assumed."""
    tokenizer: Any | None = None
    """None if the base is not a local folder."""
    encoded: dict[str, list[Encoded]] | None = None
    """The rows of files as tokens, by split. None for a stream and without a tokenizer."""
    lengths: dict[str, Lengths] = field(default_factory=dict)
    sequences: int = 0
    counts: Counts | None = None
    gpu_bytes: int | None = None
    warnings: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Those blockers that something to install, make or download removes."""

    def miss(self, *blockers: str) -> None:
        """Add blockers that the recipe does not cause."""
        self.blockers += blockers
        self.missing += blockers

    def steps(self, settings: Settings) -> Steps:
        return count_steps(self.sequences, settings.training)


def inspect_request(request: TrainingRequest) -> Inspection:
    """Inspect everything. Reasons not to start are added to `blockers`; none is raised."""
    settings = request.resolved.settings
    absent = find_missing(request.trainer, settings)
    inspection = _open_rows(request)
    inspection.blockers[:0] = inspection.missing[:0] = [error.one_line() for error in absent]
    if not absent:
        go_offline_and_quiet(request.trainer)
        _open_tokenizer(request, inspection)
    _measure_lengths(request, inspection)
    if not absent:
        _inspect_size(request, inspection)
    return inspection


def _open_rows(request: TrainingRequest) -> Inspection:
    """Open the rows that the recipe names.

    If they do not exist, assume as many generated rows as the published datasets have.
    """
    stage, settings = request.resolved.stage, request.resolved.settings
    training = settings.training
    streamed = (
        (training.max_steps or 0) * training.rows_per_step,
        max(settings.evaluation.loss_rows, settings.evaluation.samples),
    )
    try:
        return Inspection(
            open_row_sources(stage, settings.data, request.kb_dir, request.kb, streamed),
            is_assumed=False,
        )
    except UsageError as error:
        sizes, every = request.kb.datasets.sizes[stage], request.kb.datasets.eval_every
        order = DatasetOptions(
            stage=stage,
            rows=0,
            seed=settings.data.seed,
            profile=settings.data.profile,
            kb_dir=request.kb_dir,
        )
        card = settings.data.model_copy(update={"format": "card", "modelfile": stage, "mix": None})
        sources = stream_rows(order, request.kb, (sizes - sizes // every, sizes // every), card)
        inspection = Inspection(sources, is_assumed=True)
        if isinstance(error.__cause__, FileNotFoundError):
            inspection.miss(error.one_line())
        else:
            inspection.blockers.append(error.one_line())
        return inspection


def _open_tokenizer(request: TrainingRequest, inspection: Inspection) -> None:
    """Open the tokenizer and check it."""
    from finops_cli.training.data.row_checks import check_tokenizer
    from finops_cli.training.data.tokenizer import open_tokenizer

    base = request.resolved.settings.base
    if base.folder is None and base.scratch is None:
        inspection.miss(
            f"{base.name} has no local folder; download it and give its folder with --base DIR"
        )
    try:
        texts = read_vocabulary_texts(
            request.resolved.stage, request.resolved.settings, request.kb_dir, request.kb
        )
        inspection.tokenizer = open_tokenizer(base, texts)
    except UsageError as error:
        inspection.blockers.append(error.one_line())
    if inspection.tokenizer is not None:
        faults = check_tokenizer(inspection.tokenizer)
        inspection.blockers += faults
        if faults:
            inspection.tokenizer = None


def _measure_lengths(request: TrainingRequest, inspection: Inspection) -> None:
    """Measure lengths and packed sequences of all rows of a file, or of a sample of a stream."""
    training = request.resolved.settings.training
    sampled = inspection.is_assumed or request.resolved.settings.data.source == "stream"
    if inspection.tokenizer is None:
        lengths = _estimate_lengths(request, inspection, sampled)
        too_long = sum(length > training.max_length for length in lengths["train"])
        if too_long:
            inspection.warnings.append(
                f"{too_long:,} rows may be longer than training.max_length (estimated from above)"
            )
    else:
        lengths = _encode_rows(request, inspection, sampled)
    for split, each in lengths.items():
        if each:
            inspection.lengths[split] = summarise_lengths(each, training.max_length)
    total = inspection.sources.train.note.rows
    inspection.sequences = total
    if training.packing and lengths["train"]:
        inspection.sequences = round(
            count_packed_blocks(lengths["train"], training.max_length)
            * total
            / len(lengths["train"])
        )


def _estimate_lengths(
    request: TrainingRequest, inspection: Inspection, sampled: bool
) -> dict[str, list[int]]:
    return {
        rows.note.split: [estimate_length(row) for row in _sample(rows, sampled, request)]
        for rows in inspection.sources
    }


def _encode_rows(
    request: TrainingRequest, inspection: Inspection, sampled: bool
) -> dict[str, list[int]]:
    """Encode the rows as tokens and return their lengths. A faulty row becomes a blocker."""
    from finops_cli.training.data.row_checks import RowFault, describe_row_faults, encode

    longest = request.resolved.settings.training.max_length
    faults: list[RowFault] = []
    encoded: dict[str, list[Encoded]] = {}
    for rows in inspection.sources:
        both: Sequence[Encoded | RowFault] = [
            encode(row, inspection.tokenizer, longest) for row in _sample(rows, sampled, request)
        ]
        kinds = [
            maker(place)
            for kind, maker in rows.kinds.items()
            if kind != ANSWERS
            for place in range(_SAMPLE_OF_KIND)
        ]
        drills = [encode(example, inspection.tokenizer, longest) for example in kinds]
        faults += [each for each in (*both, *drills) if isinstance(each, RowFault)]
        encoded[rows.note.split] = [each for each in both if not isinstance(each, RowFault)]
    inspection.blockers += describe_row_faults(faults)
    if not sampled:
        inspection.encoded = encoded
    return {split: [len(each.input_ids) for each in rows] for split, rows in encoded.items()}


def _sample(rows: RowSource, sampled: bool, request: TrainingRequest) -> Iterable[Example]:
    """Yield all rows, or the first few, and report progress."""
    total = min(rows.note.rows, _SAMPLE) if sampled else rows.note.rows
    for done, row in enumerate(islice(rows, total), start=1):
        yield row
        request.watch(done, total)


def _inspect_size(request: TrainingRequest, inspection: Inspection) -> None:
    """Count parameters, check the machine, and check what depends on the layers of the base."""
    from finops_cli.training.initial_weights import inspect_initial_weights
    from finops_cli.training.machine import find_hardware_blockers, read_gpu_bytes
    from finops_cli.training.planning.parameter_counts import count_parameters

    settings = request.resolved.settings
    try:
        inspection.counts = count_parameters(
            settings, len(inspection.tokenizer) if inspection.tokenizer is not None else None
        )
    except UsageError as error:
        inspection.blockers.append(error.one_line())
    if settings.base.scratch is not None:
        initial = inspect_initial_weights(
            settings.base.scratch, settings.data.modelfile, inspection.tokenizer
        )
        # the tokenizer may be in the same file: its fault is listed once
        found = [each for each in initial.blockers if each not in inspection.blockers]
        weights = settings.base.scratch.weights
        if weights is not None and not Path(weights).exists():
            inspection.miss(*found)
        else:
            inspection.blockers += found
        inspection.warnings += initial.warnings
    inspection.gpu_bytes = read_gpu_bytes()
    if inspection.gpu_bytes is None:  # another machine can do what the recipe says
        inspection.miss(*find_hardware_blockers(settings))
    else:
        inspection.blockers += find_hardware_blockers(settings)
    if inspection.counts is not None:
        _inspect_layers(request, inspection, inspection.counts)


def _inspect_layers(request: TrainingRequest, inspection: Inspection, counts: Counts) -> None:
    """Check what depends on the kinds of layers in the base."""
    from finops_cli.training.data.row_checks import check_packing

    settings = request.resolved.settings
    packing = check_packing(counts.linear_attention, settings.training.packing, request.trainer)
    inspection.blockers += [packing] if packing is not None else []
    if counts.touched_layers < counts.layers:
        inspection.warnings.append(
            f"adapter.targets exist in {counts.touched_layers} of {counts.layers} layers"
            " only; preset 24gb has more targets"
        )
    if counts.linear_attention and settings.base.quantization == "nf4":
        inspection.warnings.append(
            "Unsloth advises against 4 bits for the linear-attention layers of this base; preset"
            " 24gb trains in bf16"
        )
    if counts.linear_attention and settings.training.precision == "fp16":
        inspection.blockers.append(
            "the linear-attention layers of this base give NaN gradients in fp16; set"
            " training.precision=bf16"
        )
