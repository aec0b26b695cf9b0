"""`finops train`, from the call to the model: survey, refuse, train, examine, keep the best, write
the record.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_cli.datasets.stages import STAGES
from finops_cli.errors import Unfinished, UsageError
from finops_cli.files.digests import sha256_of_file
from finops_cli.files.safe_io import lock, write_json
from finops_cli.models.prompts import prompt_sha256
from finops_cli.training.checkpoints import CHECKPOINTS, LOCK, StartMode, begin, refuse_unready
from finops_cli.training.environment import offline_and_quiet
from finops_cli.training.planning.inspect import Inspection, TrainingRequest, inspect_request
from finops_cli.training.planning.plan import Plan, plan_of
from finops_cli.training.progress import Watch
from finops_cli.training.run_record import (
    CARD,
    CURVE,
    RUN,
    TIMING,
    MadeFrom,
    Run,
    Timing,
    result_of,
    run_of,
)
from finops_cli.training.versions import refuse_without, versions
from finops_cli.weights.model_note import ModelNote, write_note

if TYPE_CHECKING:
    from finops_cli.training.recipe_schema import Settings
    from finops_cli.training.trainer import DeskTrainer


class Told(NamedTuple):
    """Who hears of it: `plan` before it begins, `tell` what happens, `watch` how far it is, `now`
    says what time it is (UTC).
    """

    plan: Callable[[Plan], None]
    tell: Callable[[str], None]
    watch: Watch
    now: Callable[[], datetime]


class Trained(NamedTuple):
    folder: Path
    run: Run


def train(asked: TrainingRequest, output: Path, how: StartMode, told: Told) -> Trained:
    """Train a model into `output`. An interrupted training goes on with `how="resume"`, to the same
    bytes on a processor.

    Raises MissingPiece without the extra, UsageError for what stands in the way (all of it at
    once), ResumeRefused, Unfinished.
    """
    settings = asked.resolved.settings
    refuse_without(asked.trainer, settings)
    offline_and_quiet(asked.trainer)
    begun = told.now()
    found = inspect_request(asked)
    plan = plan_of(asked, found, output)
    told.plan(plan)
    if plan.blockers:
        raise UsageError("training cannot begin: " + "; ".join(plan.blockers))
    made_from = _made_from(asked, found)
    refuse_unready(output, how, made_from)
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOCK).open("wb") as held:
        lock(held, output)
        trainer = _trainer(
            asked, found, output, told
        )  # before anything goes: a base that does not open costs no earlier model
        checkpoint = begin(output, how)
        write_json(output / RUN, run_of(made_from, None))
        if checkpoint is not None:
            told.tell(f"goes on from {checkpoint.name}")
        _go(trainer, checkpoint)
        run = _finish(asked, trainer, output, made_from)
        resumed_from = int(checkpoint.name.rpartition("-")[2]) if checkpoint is not None else 0
        ended = told.now()
        write_json(
            output / TIMING,
            Timing(ended.isoformat(), (ended - begun).total_seconds(), resumed_from),
        )
    (output / LOCK).unlink()
    return Trained(output, run)


def _made_from(asked: TrainingRequest, found: Inspection) -> MadeFrom:
    from finops_cli.training.base_model import base_digests
    from finops_cli.training.data.tokenizer import digests
    from finops_cli.training.machine import device_name

    base = asked.resolved.settings.base
    place = base.scratch.weights if base.scratch is not None else base.folder
    tokenizer, template = digests(found.tokenizer)
    return MadeFrom(
        stage=asked.resolved.stage,
        settings=asked.resolved.table,
        data=[rows.note for rows in found.sets],
        kb=asked.kb.version,
        prompt_sha256=prompt_sha256(asked.resolved.settings.data.modelfile),
        tokenizer_sha256=tokenizer,
        template_sha256=template,
        base=base_digests(Path(place) if place is not None else None),
        trainer=asked.trainer,
        device=device_name(),
        versions=versions(),
    )


def _trainer(asked: TrainingRequest, found: Inspection, output: Path, told: Told) -> DeskTrainer:
    import torch

    from finops_cli.training.answer_eval import AnswerEvaluator, spread
    from finops_cli.training.base_model import open_base
    from finops_cli.training.trainer import make_trainer

    settings = asked.resolved.settings
    if settings.training.threads is not None:
        torch.set_num_threads(settings.training.threads)
    evaluation = found.sets.eval
    rows = [
        evaluation.at(place) for place in spread(evaluation.note.rows, settings.evaluation.samples)
    ]
    examiner = AnswerEvaluator(rows, found.tokenizer, settings.evaluation, asked.kb)
    model = open_base(settings, found.tokenizer, asked.trainer)
    return make_trainer(settings, model, found, examiner, output / CHECKPOINTS, told.watch)


def _go(trainer: DeskTrainer, checkpoint: Path | None) -> None:
    """Train to the end. Raises Unfinished where the GPU's memory is full."""
    import torch

    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    except torch.OutOfMemoryError as error:
        cure = (
            "take a smaller preset, training.batch or evaluation.batch, and start with --overwrite"
        )
        raise Unfinished(
            f"the GPU's memory is full at step {trainer.state.global_step:,}", cure
        ) from error


def _finish(asked: TrainingRequest, trainer: DeskTrainer, output: Path, made_from: MadeFrom) -> Run:
    """The best model under its name, then the picture, the card, and last the record: without it,
    the training goes on from its end.
    """
    from finops_cli.training.loss_curve import draw
    from finops_cli.training.model_card import model_card

    stage, settings = asked.resolved.stage, asked.resolved.settings
    folder = output / ("model" if settings.adapter.method == "full" else "adapter")
    result = result_of(
        trainer.state,
        _counted(trainer.model),
        _saved(trainer, folder, _note(settings, made_from.base)),
    )
    draw(result, stage, STAGES[stage].decision_field, output / CURVE)
    run = run_of(made_from, result)
    (output / CARD).write_text(model_card(run), encoding="utf-8")
    write_json(output / RUN, run)
    shutil.rmtree(output / CHECKPOINTS)
    return run


def _note(settings: Settings, base: dict[str, str]) -> ModelNote:
    from finops_cli.training.base_model import merges_into

    if settings.adapter.method == "full" or settings.base.folder is None:
        return ModelNote(settings.data.modelfile)
    return ModelNote(settings.data.modelfile, merges_into(Path(settings.base.folder), base))


def _saved(trainer: DeskTrainer, folder: Path, note: ModelNote) -> dict[str, str]:
    """Write model and tokenizer into `folder`, and what `finops quantize` is to know of them; the
    digest of each file.
    """
    trainer.model.save_pretrained(folder)
    trainer.processing_class.save_pretrained(folder)
    write_note(folder, note)
    (folder / CARD).unlink(missing_ok=True)  # PEFT's, which is an empty form
    return {
        f"{folder.name}/{file.name}": sha256_of_file(file)[0]
        for file in sorted(folder.iterdir())
        if file.is_file()
    }


def _counted(model: Any) -> tuple[int, int]:
    """Parameters in all, and trained; a 4-bit weight counts as what it stands for."""
    counted = getattr(model, "get_nb_trainable_parameters", None)
    if counted is not None:
        trainable, total = counted()
        return total, trainable
    return sum(each.numel() for each in model.parameters()), sum(
        each.numel() for each in model.parameters() if each.requires_grad
    )
