"""Everything that is known before a training: its rows in tokens, its steps, its size, and what
stands in its way.

Works without a GPU, without weights, and, as far as that goes, without the packages that training
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from finops_cli.datasets.writer import DatasetOptions
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.formats import ANSWERS, Example
from finops_cli.training.data.lengths import (
    Lengths,
    Steps,
    estimated_length,
    packed_blocks,
    steps,
    summary,
)
from finops_cli.training.data.sources import Rows, Sets, sets_of, streams, vocabulary_texts
from finops_cli.training.environment import offline_and_quiet
from finops_cli.training.recipe import Resolved
from finops_cli.training.recipe_schema import Settings
from finops_cli.training.versions import TrainerName, missing

if TYPE_CHECKING:
    from finops_cli.training.data.row_checks import Encoded, Fault
    from finops_cli.training.planning.parameter_counts import Counts

_SAMPLE = 200
"""Rows of a stream, or of data that is not there yet, whose lengths stand for all."""
_SAMPLE_OF_KIND = 20
"""Examples of each further kind of `data.mix` that are looked at, whose lengths count for nothing:
batches are cut by tokens.
"""


class TrainingRequest(NamedTuple):
    """A training that somebody wants.

    `watch` is told how many rows were looked at, and of how many.
    """

    resolved: Resolved
    trainer: TrainerName
    kb_dir: Path
    kb: KnowledgeBase
    watch: Callable[[int, int], None]


@dataclass
class Inspection:
    """What was found.

    `encoded` and `tokenizer` are None without a local base; `assumed` where there is no data yet.
    """

    sets: Sets
    assumed: bool
    tokenizer: Any | None = None
    encoded: dict[str, list[Encoded]] | None = None
    lengths: dict[str, Lengths] = field(default_factory=dict)
    sequences: int = 0
    counts: Counts | None = None
    gpu_bytes: int | None = None
    warnings: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)

    def steps(self, settings: Settings) -> Steps:
        return steps(self.sequences, settings.training)


def inspect_request(asked: TrainingRequest) -> Inspection:
    """Look at everything.

    What would stop the training is in `blockers`; nothing is raised for it.
    """
    settings = asked.resolved.settings
    absent = missing(asked.trainer, settings)
    found = _rows(asked)
    found.blockers[:0] = [error.one_line() for error in absent]
    if not absent:
        offline_and_quiet(asked.trainer)
        _open(asked, found)
    _measure(asked, found)
    if not absent:
        _weigh(asked, found)
    return found


def _rows(asked: TrainingRequest) -> Inspection:
    """The rows of the call; where there are none, rows as the generator would make them, as many as
    the cards have.
    """
    stage, settings = asked.resolved.stage, asked.resolved.settings
    training = settings.training
    streamed = (
        (training.max_steps or 0) * training.rows_a_step,
        max(settings.evaluation.loss_rows, settings.evaluation.samples),
    )
    try:
        return Inspection(
            sets_of(stage, settings.data, asked.kb_dir, asked.kb, streamed), assumed=False
        )
    except UsageError as error:
        sizes, every = asked.kb.datasets.sizes[stage], asked.kb.datasets.eval_every
        order = DatasetOptions(stage, 0, settings.data.seed, settings.data.profile, asked.kb_dir)
        card = replace(settings.data, form="card", modelfile=stage, mix=None)
        sets = streams(order, asked.kb, (sizes - sizes // every, sizes // every), card)
        return Inspection(sets, assumed=True, blockers=[error.one_line()])


def _open(asked: TrainingRequest, found: Inspection) -> None:
    """The tokenizer, and what is wrong with it."""
    from finops_cli.training.data.row_checks import tokenizer_faults
    from finops_cli.training.data.tokenizer import open_tokenizer

    base = asked.resolved.settings.base
    if base.folder is None and base.scratch is None:
        found.blockers.append(
            f"{base.name} is not here: get its Hugging Face folder and name it with --base DIR"
        )
    try:
        texts = vocabulary_texts(
            asked.resolved.stage, asked.resolved.settings, asked.kb_dir, asked.kb
        )
        found.tokenizer = open_tokenizer(base, texts)
    except UsageError as error:
        found.blockers.append(error.one_line())
    if found.tokenizer is not None:
        faults = tokenizer_faults(found.tokenizer)
        found.blockers += faults
        if faults:
            found.tokenizer = None


def _measure(asked: TrainingRequest, found: Inspection) -> None:
    """Lengths and packed sequences: of every row of a file, of a sample of a stream."""
    training = asked.resolved.settings.training
    sampled = found.assumed or asked.resolved.settings.data.source == "stream"
    if found.tokenizer is None:
        lengths = _estimated(asked, found, sampled)
        too_long = sum(length > training.max_length for length in lengths["train"])
        if too_long:
            found.warnings.append(
                f"{too_long:,} rows may be longer than training.max_length, by an estimate that"
                " errs upwards"
            )
    else:
        lengths = _encoded(asked, found, sampled)
    for split, each in lengths.items():
        if each:
            found.lengths[split] = summary(each, training.max_length)
    total = found.sets.train.note.rows
    found.sequences = total
    if training.packing and lengths["train"]:
        found.sequences = round(
            packed_blocks(lengths["train"], training.max_length) * total / len(lengths["train"])
        )


def _estimated(asked: TrainingRequest, found: Inspection, sampled: bool) -> dict[str, list[int]]:
    return {
        rows.note.split: [estimated_length(row) for row in _some(rows, sampled, asked)]
        for rows in found.sets
    }


def _encoded(asked: TrainingRequest, found: Inspection, sampled: bool) -> dict[str, list[int]]:
    """The rows in tokens. A row that fails the preflight is a blocker, and is in no list."""
    from finops_cli.training.data.row_checks import Fault, encode, row_faults

    longest = asked.resolved.settings.training.max_length
    faults: list[Fault] = []
    encoded: dict[str, list[Encoded]] = {}
    for rows in found.sets:
        both: Sequence[Encoded | Fault] = [
            encode(row, found.tokenizer, longest) for row in _some(rows, sampled, asked)
        ]
        kinds = [
            maker(place)
            for kind, maker in rows.kinds.items()
            if kind != ANSWERS
            for place in range(_SAMPLE_OF_KIND)
        ]
        drills = [encode(example, found.tokenizer, longest) for example in kinds]
        faults += [each for each in (*both, *drills) if isinstance(each, Fault)]
        encoded[rows.note.split] = [each for each in both if not isinstance(each, Fault)]
    found.blockers += row_faults(faults)
    if not sampled:
        found.encoded = encoded
    return {split: [len(each.input_ids) for each in rows] for split, rows in encoded.items()}


def _some(rows: Rows, sampled: bool, asked: TrainingRequest) -> Iterable[Example]:
    """All rows, or the first few."""
    total = min(rows.note.rows, _SAMPLE) if sampled else rows.note.rows
    for done, row in enumerate(islice(rows, total), start=1):
        yield row
        asked.watch(done, total)


def _weigh(asked: TrainingRequest, found: Inspection) -> None:
    """Parameters, and what follows from the layers of the base."""
    from finops_cli.training.data.row_checks import packing_fault
    from finops_cli.training.initial_weights import inspect_initial_weights
    from finops_cli.training.machine import gpu_bytes, hardware_blockers
    from finops_cli.training.planning.parameter_counts import count

    settings = asked.resolved.settings
    try:
        found.counts = count(
            settings, len(found.tokenizer) if found.tokenizer is not None else None
        )
    except UsageError as error:
        found.blockers.append(error.one_line())
    if settings.base.scratch is not None:
        beginning = inspect_initial_weights(
            settings.base.scratch, settings.data.modelfile, found.tokenizer
        )
        # The file may be the tokenizer's, too: then its fault has been said.
        found.blockers += [each for each in beginning.blockers if each not in found.blockers]
        found.warnings += beginning.warnings
    found.blockers += hardware_blockers(settings)
    found.gpu_bytes = gpu_bytes()
    if found.counts is None:
        return
    packing = packing_fault(found.counts.linear_attention, settings.training.packing, asked.trainer)
    found.blockers += [packing] if packing is not None else []
    if found.counts.touched_layers < found.counts.layers:
        found.warnings.append(
            f"adapter.targets are in {found.counts.touched_layers} of {found.counts.layers} layers"
            " only; preset 24gb names more"
        )
    if found.counts.linear_attention and settings.base.quantization == "nf4":
        found.warnings.append(
            "4 bit is not advised for the linear-attention layers of this base (Unsloth); preset"
            " 24gb trains in bf16"
        )
    if found.counts.linear_attention and settings.training.precision == "fp16":
        found.blockers.append(
            "the linear-attention layers of this base give NaN gradients in fp16; set"
            " training.precision=bf16"
        )
