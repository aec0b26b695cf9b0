"""Train a model: inspect, refuse, train, keep the best checkpoint, write the record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_cli.datasets.stages import STAGES
from finops_cli.errors import MissingPiece, Unfinished, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.safe_io import lock, write_json
from finops_cli.models.prompts import prompt_sha256
from finops_cli.models.transformers.model_note import ModelNote, write_note
from finops_cli.training.checkpoints import (
    CHECKPOINTS,
    LOCK,
    StartMode,
    prepare_output,
    refuse_unready,
)
from finops_cli.training.environment import go_offline_and_quiet
from finops_cli.training.planning.inspect import Inspection, TrainingRequest, inspect_request
from finops_cli.training.planning.plan import TrainingPlan, plan_from_inspection
from finops_cli.training.progress import Watch
from finops_cli.training.run_record import (
    CARD,
    CURVE,
    RUN,
    TIMING,
    MadeFrom,
    Timing,
    TrainingRecord,
    make_record,
    make_result,
)
from finops_cli.training.versions import read_versions, refuse_without_packages

if TYPE_CHECKING:
    from finops_cli.training.recipe_schema import Settings
    from finops_cli.training.trainer import FinopsTrainer


class Callbacks(NamedTuple):
    """The functions that `train` calls, and the clock that it reads."""

    on_plan: Callable[[TrainingPlan], None]
    """Called once, before training starts."""
    on_message: Callable[[str], None]
    on_progress: Watch
    now: Callable[[], datetime]
    """Return the time in UTC."""


class FinishedTraining(NamedTuple):
    """A finished run: its folder and its record."""

    folder: Path
    record: TrainingRecord


def train(
    request: TrainingRequest, output: Path, mode: StartMode, callbacks: Callbacks
) -> FinishedTraining:
    """Train a model into the folder `output`.

    An interrupted run continues with `mode="resume"`; on a processor the bytes are the same.

    Raises MissingPiece without the extra, UsageError with all blockers, ResumeRefused, Unfinished.
    """
    settings = request.resolved.settings
    refuse_without_packages(request.trainer, settings)
    go_offline_and_quiet(request.trainer)
    started = callbacks.now()
    inspection = inspect_request(request)
    plan = plan_from_inspection(request, inspection, output)
    callbacks.on_plan(plan)
    if plan.blockers:
        message = "training cannot start: " + "; ".join(plan.blockers)
        if plan.exit_code == MissingPiece.exit_code:
            raise MissingPiece(message, "install, make or download what is named, and train again")
        raise UsageError(message)
    made_from = _describe_origin(request, inspection)
    refuse_unready(output, mode, made_from)
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOCK).open("wb") as held:
        lock(held, output)
        # before anything is deleted: a base that cannot be opened must not cost an earlier model
        trainer = _prepare_trainer(request, inspection, output, callbacks)
        checkpoint = prepare_output(output, mode)
        write_json(output / RUN, make_record(made_from, None))
        if checkpoint is not None:
            callbacks.on_message(f"resuming from {checkpoint.name}")
        _run(trainer, checkpoint)
        record = _finish(request, trainer, output, made_from)
        resumed_from = int(checkpoint.name.rpartition("-")[2]) if checkpoint is not None else 0
        ended = callbacks.now()
        write_json(
            output / TIMING,
            Timing(ended.isoformat(), (ended - started).total_seconds(), resumed_from),
        )
    (output / LOCK).unlink()
    return FinishedTraining(output, record)


def _describe_origin(request: TrainingRequest, inspection: Inspection) -> MadeFrom:
    from finops_cli.training.base_model import digest_base
    from finops_cli.training.data.tokenizer import digest_tokenizer
    from finops_cli.training.machine import read_device_name

    base = request.resolved.settings.base
    place = base.scratch.weights if base.scratch is not None else base.folder
    tokenizer, template = digest_tokenizer(inspection.tokenizer)
    return MadeFrom(
        stage=request.resolved.stage,
        settings=request.resolved.table,
        data=[rows.note for rows in inspection.sources],
        kb=request.kb.version,
        prompt_sha256=prompt_sha256(request.resolved.settings.data.modelfile),
        tokenizer_sha256=tokenizer,
        template_sha256=template,
        base=digest_base(Path(place) if place is not None else None),
        trainer=request.trainer,
        device=read_device_name(),
        versions=read_versions(),
    )


def _prepare_trainer(
    request: TrainingRequest, inspection: Inspection, output: Path, callbacks: Callbacks
) -> FinopsTrainer:
    import torch

    from finops_cli.training.answer_eval import AnswerEvaluator, spread_indexes
    from finops_cli.training.base_model import open_base
    from finops_cli.training.trainer import make_trainer

    settings = request.resolved.settings
    if settings.training.threads is not None:
        torch.set_num_threads(settings.training.threads)
    evaluation = inspection.sources.eval
    rows = [
        evaluation.at(place)
        for place in spread_indexes(evaluation.note.rows, settings.evaluation.samples)
    ]
    evaluator = AnswerEvaluator(rows, inspection.tokenizer, settings.evaluation, request.kb)
    model = open_base(settings, inspection.tokenizer, request.trainer)
    return make_trainer(
        settings, model, inspection, evaluator, output / CHECKPOINTS, callbacks.on_progress
    )


def _run(trainer: FinopsTrainer, checkpoint: Path | None) -> None:
    """Train to the end. Raises Unfinished when the GPU's memory is full."""
    import torch

    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    except torch.OutOfMemoryError as error:
        raise Unfinished(
            f"the GPU's memory is full at step {trainer.state.global_step:,}",
            "use a smaller preset, training.batch or evaluation.batch, and start with --overwrite",
        ) from error


def _finish(
    request: TrainingRequest, trainer: FinopsTrainer, output: Path, made_from: MadeFrom
) -> TrainingRecord:
    """Save the best model, then the picture, the card, and last the record.

    An interruption before the record is written leaves a run that can be resumed.
    """
    from finops_cli.training.loss_curve import draw_curves
    from finops_cli.training.model_card import render_model_card

    stage, settings = request.resolved.stage, request.resolved.settings
    folder = output / ("model" if settings.adapter.method == "full" else "adapter")
    result = make_result(
        trainer.state,
        _count_parameters(trainer.model),
        _save(trainer, folder, _make_note(settings, made_from.base)),
    )
    draw_curves(result, stage, STAGES[stage].decision_field, output / CURVE)
    record = make_record(made_from, result)
    (output / CARD).write_text(render_model_card(record), encoding="utf-8")
    write_json(output / RUN, record)
    shutil.rmtree(output / CHECKPOINTS)
    return record


def _make_note(settings: Settings, base: dict[str, str]) -> ModelNote:
    from finops_cli.training.base_model import select_merge_base

    if settings.adapter.method == "full" or settings.base.folder is None:
        return ModelNote(settings.data.modelfile)
    return ModelNote(settings.data.modelfile, select_merge_base(Path(settings.base.folder), base))


def _save(trainer: FinopsTrainer, folder: Path, note: ModelNote) -> dict[str, str]:
    """Save model, tokenizer and the note for `finops quantize`; return the digest of each file."""
    trainer.model.save_pretrained(folder)
    trainer.processing_class.save_pretrained(folder)
    write_note(folder, note)
    (folder / CARD).unlink(missing_ok=True)  # PEFT writes an empty form
    return {
        f"{folder.name}/{file.name}": sha256_of_file(file)[0]
        for file in sorted(folder.iterdir())
        if file.is_file()
    }


def _count_parameters(model: Any) -> tuple[int, int]:
    """Count all parameters and the trained ones. A 4-bit weight counts as one parameter."""
    count = getattr(model, "get_nb_trainable_parameters", None)
    if count is not None:
        trainable, total = count()
        return total, trainable
    return sum(each.numel() for each in model.parameters()), sum(
        each.numel() for each in model.parameters() if each.requires_grad
    )
