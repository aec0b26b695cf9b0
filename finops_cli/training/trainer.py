"""TRL's SFTTrainer as the desk wants it: examined by generated answers, silent, and without a model
card of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from finops_cli.errors import Unfinished
from finops_cli.training.answer_eval import AnswerEvaluator, spread
from finops_cli.training.data.batching import TokenBatches, collated
from finops_cli.training.data.formats import ANSWERS, Example
from finops_cli.training.data.row_checks import Encoded, encoded_or_refused
from finops_cli.training.machine import device
from finops_cli.training.muon import muon_of
from finops_cli.training.planning.inspect import Inspection
from finops_cli.training.planning.parameter_counts import lora_config
from finops_cli.training.progress import Progress, Watch
from finops_cli.training.recipe_schema import Settings

RANK = "eval_rank"


class DeskTrainer(SFTTrainer):
    """Adds the scores of generated answers to what an evaluation measures; the best checkpoint is
    the one with the highest rank.

    `evaluate` raises Unfinished when the weights have come to nothing.
    """

    examiner: AnswerEvaluator

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        metrics: dict[str, float] = super().evaluate(*arguments, **named)
        if not math.isfinite(metrics["eval_loss"]):
            raise Unfinished(
                f"the loss is no number any more at step {self.state.global_step:,}",
                "lower training.learning_rate",
            )
        scores = self.examiner.examine(self.model)
        rank = scores.rank(metrics["eval_loss"])
        found = {
            "eval_asked": scores.asked,
            "eval_valid": scores.valid,
            "eval_exact": scores.exact,
            "eval_decided": scores.decided,
        }
        self.log({**found, RANK: rank})
        return {**metrics, **found, RANK: rank}

    def create_model_card(self, *arguments: Any, **named: Any) -> None:
        """The record of finops says more."""


class Reporter(TrainerCallback):
    """Tells each step, and the figures when there are new ones.

    Losses are logged with each checkpoint, so that none is averaged across it: a training that goes
    on logs what it would have logged.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._figures: dict[str, float] = {}

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        self._figures |= {
            name: value for name, value in (logs or {}).items() if isinstance(value, int | float)
        }
        self._tell(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = control.should_log or control.should_save
        self._tell(state)

    def _tell(self, state: Any) -> None:
        self._watch(Progress(state.global_step, state.max_steps, dict(self._figures)))


def make_trainer(
    settings: Settings,
    model: Any,
    found: Inspection,
    examiner: AnswerEvaluator,
    checkpoints: Path,
    watch: Watch,
) -> DeskTrainer:
    """A trainer that is ready to begin or to go on; its checkpoints go to `checkpoints`."""
    has_adapter = hasattr(model, "peft_config")
    wants_adapter = settings.adapter.method == "lora" and not has_adapter
    trainer = DeskTrainer(
        model=model,
        args=_arguments(settings, found, checkpoints),
        train_dataset=_training_rows(settings, found),
        eval_dataset=_loss_rows(settings, found, examiner),
        processing_class=found.tokenizer,
        peft_config=lora_config(settings.adapter) if wants_adapter else None,
        data_collator=_collator(settings, found.tokenizer),
        optimizers=(muon_of(model.named_parameters(), settings.training), None),
        callbacks=[Reporter(watch)],
    )
    trainer.examiner = examiner
    if settings.training.precision == "fp16":
        _wide(trainer.model)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    logging.disable_progress_bar()
    return trainer


def _wide(model: Any) -> None:
    """Trained weights in 32 bit: the loss scaling of fp16 cannot undo itself in bf16, which TRL
    makes of an adapter on 4-bit weights.
    """
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()


def _arguments(settings: Settings, found: Inspection, checkpoints: Path) -> Any:
    training, evaluation = settings.training, settings.evaluation
    return SFTConfig(
        output_dir=str(checkpoints.resolve()),
        max_length=training.max_length,
        num_train_epochs=training.epochs,
        max_steps=training.max_steps if training.max_steps is not None else -1,
        per_device_train_batch_size=training.batch,
        per_device_eval_batch_size=evaluation.batch,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.scheduler,
        lr_scheduler_kwargs=_falling(settings, found),
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=(
            training.optimizer if training.muon is None else "adamw_torch"
        ),  # or the one that is handed over
        bf16=training.precision == "bf16",
        fp16=training.precision == "fp16",
        use_cpu=device() == "cpu",
        gradient_checkpointing=training.gradient_checkpointing,
        packing=training.packing,
        packing_strategy="bfd",
        eval_packing=False,
        seed=training.seed,
        data_seed=training.seed,
        train_sampling_strategy="random" if training.tokens is None else "sequential",
        dataloader_num_workers=training.workers,
        logging_steps=training.log_every,
        logging_first_step=True,
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps",
        eval_steps=evaluation.every,
        save_strategy="steps",
        save_steps=evaluation.every,
        save_total_limit=evaluation.keep,
        load_best_model_at_end=True,
        metric_for_best_model=RANK,
        greater_is_better=True,
        eos_token=found.tokenizer.eos_token if found.tokenizer is not None else None,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={
            "skip_prepare_dataset": not training.packing
        },  # rows come in tokens, each checked by the preflight
    )


def _collator(settings: Settings, tokenizer: Any) -> Callable[..., Any] | None:
    return (
        partial(collated, padding=tokenizer.pad_token_id)
        if settings.training.tokens is not None
        else None
    )


def _falling(settings: Settings, found: Inspection) -> dict[str, Any] | None:
    """After `hold` the rate falls evenly to nothing."""
    hold = settings.training.hold
    total = found.steps(settings).total
    return (
        None
        if hold is None
        else {"num_decay_steps": total - round(hold * total), "decay_type": "linear"}
    )


def _training_rows(settings: Settings, found: Inspection) -> Any:
    if found.encoded is not None:
        return _dataset(found.encoded["train"])
    train, tokenizer, longest = found.sets.train, found.tokenizer, settings.training.max_length
    indexes = Dataset.from_dict({"index": list(range(train.note.rows))})
    if settings.training.tokens is not None:
        batches = _batches(settings, found, settings.training.tokens)
        return indexes.with_transform(
            lambda asked: {"batch": [batches[number] for number in asked["index"]]}
        )

    def fresh(batch: dict[str, list[int]]) -> dict[str, list[list[int]]]:
        encoded = [
            encoded_or_refused(train.at(index), tokenizer, longest) for index in batch["index"]
        ]
        return {
            "input_ids": [each.input_ids for each in encoded],
            "labels": [each.labels for each in encoded],
        }

    return indexes.with_transform(fresh)


def _batches(settings: Settings, found: Inspection, tokens: int) -> TokenBatches:
    train, tokenizer, longest = found.sets.train, found.tokenizer, settings.training.max_length

    def encoding(at: Callable[[int], Example]) -> Callable[[int], Encoded]:
        return lambda index: encoded_or_refused(at(index), tokenizer, longest)

    mix = settings.data.mix or {ANSWERS: [(0.0, 1.0)]}
    kinds = {kind: encoding(at) for kind, at in train.kinds.items()}
    return TokenBatches(kinds, mix, tokens, train.note.rows, settings.training.seed)


def _loss_rows(settings: Settings, found: Inspection, examiner: AnswerEvaluator) -> Any:
    evaluation = found.sets.eval
    places = spread(evaluation.note.rows, settings.evaluation.loss_rows)
    if found.encoded is not None:
        return _dataset([found.encoded["eval"][place] for place in places])
    return _dataset(
        [
            encoded_or_refused(
                evaluation.at(place), examiner.tokenizer, settings.training.max_length
            )
            for place in places
        ]
    )


def _dataset(encoded: list[Encoded]) -> Any:
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in encoded],
            "labels": [each.labels for each in encoded],
        }
    )
