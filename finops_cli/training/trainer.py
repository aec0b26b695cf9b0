"""TRL's SFTTrainer with an evaluation of generated answers, and without TRL's own output."""

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
from finops_cli.training.answer_eval import AnswerEvaluator, spread_indexes
from finops_cli.training.data.batching import TokenBatches, collate
from finops_cli.training.data.formats import ANSWERS, Example
from finops_cli.training.data.row_checks import Encoded, encode_or_raise
from finops_cli.training.machine import find_device
from finops_cli.training.muon import make_muon
from finops_cli.training.planning.inspect import Inspection
from finops_cli.training.planning.parameter_counts import make_lora_config
from finops_cli.training.progress import Progress, Watch
from finops_cli.training.recipe_schema import Settings

RANK = "eval_rank"


class FinopsTrainer(SFTTrainer):
    """A trainer that adds scores of generated answers to each evaluation.

    The checkpoint with the top rank is the best.
    """

    evaluator: AnswerEvaluator

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Evaluate loss and answers. Raises Unfinished when the training run has diverged."""
        metrics: dict[str, float] = super().evaluate(*arguments, **named)
        if not math.isfinite(metrics["eval_loss"]):
            raise Unfinished(
                f"the loss is NaN or infinite at step {self.state.global_step:,}: the training"
                " diverged",
                "lower training.learning_rate",
            )
        scores = self.evaluator.evaluate(self.model)
        rank = scores.rank(metrics["eval_loss"])
        answered = {
            "eval_asked": scores.asked,
            "eval_valid": scores.valid,
            "eval_exact": scores.exact,
            "eval_decided": scores.decided,
        }
        self.log({**answered, RANK: rank})
        return {**metrics, **answered, RANK: rank}

    def create_model_card(self, *arguments: Any, **named: Any) -> None:
        """Write no card, because `model_card` writes one."""


class ProgressCallback(TrainerCallback):
    """Report each step with the newest metrics.

    Losses are also logged at each checkpoint, so that no average spans one. A resumed run logs the
    same values as an uninterrupted one.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._metrics: dict[str, float] = {}

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        self._metrics |= {
            name: value for name, value in (logs or {}).items() if isinstance(value, int | float)
        }
        self._report(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_log = control.should_log or control.should_save
        self._report(state)

    def _report(self, state: Any) -> None:
        self._watch(Progress(state.global_step, state.max_steps, dict(self._metrics)))


def make_trainer(
    settings: Settings,
    model: Any,
    inspection: Inspection,
    evaluator: AnswerEvaluator,
    checkpoints: Path,
    watch: Watch,
) -> FinopsTrainer:
    """Make a trainer that writes its checkpoints into the folder `checkpoints`."""
    has_adapter = hasattr(model, "peft_config")
    wants_adapter = settings.adapter.method == "lora" and not has_adapter
    trainer = FinopsTrainer(
        model=model,
        args=_make_arguments(settings, inspection, checkpoints),
        train_dataset=_make_training_rows(settings, inspection),
        eval_dataset=_make_loss_rows(settings, inspection, evaluator),
        processing_class=inspection.tokenizer,
        peft_config=make_lora_config(settings.adapter) if wants_adapter else None,
        data_collator=_make_collator(settings, inspection.tokenizer),
        optimizers=(make_muon(model.named_parameters(), settings.training), None),
        callbacks=[ProgressCallback(watch)],
    )
    trainer.evaluator = evaluator
    if settings.training.precision == "fp16":
        _widen_trained_weights(trainer.model)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    logging.disable_progress_bar()
    return trainer


def _widen_trained_weights(model: Any) -> None:
    """Convert the trained weights to 32 bits.

    TRL makes an adapter on 4-bit weights bf16, where the loss scaling of fp16 cannot be undone.
    """
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()


def _make_arguments(settings: Settings, inspection: Inspection, checkpoints: Path) -> Any:
    training = settings.training
    return SFTConfig(
        **_make_optimizer_arguments(settings, inspection),
        **_make_evaluation_arguments(settings),
        output_dir=str(checkpoints.resolve()),
        max_length=training.max_length,
        bf16=training.precision == "bf16",
        fp16=training.precision == "fp16",
        use_cpu=find_device() == "cpu",
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
        eos_token=inspection.tokenizer.eos_token if inspection.tokenizer is not None else None,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        # rows are encoded and checked already
        dataset_kwargs={"skip_prepare_dataset": not training.packing},
    )


def _make_optimizer_arguments(settings: Settings, inspection: Inspection) -> dict[str, Any]:
    training = settings.training
    return {
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps if training.max_steps is not None else -1,
        "per_device_train_batch_size": training.batch,
        "gradient_accumulation_steps": training.accumulation,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.scheduler,
        "lr_scheduler_kwargs": _make_decay(settings, inspection),
        "warmup_steps": training.warmup,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        # make_trainer passes Muon itself
        "optim": training.optimizer if training.muon is None else "adamw_torch",
    }


def _make_evaluation_arguments(settings: Settings) -> dict[str, Any]:
    evaluation = settings.evaluation
    return {
        "per_device_eval_batch_size": evaluation.batch,
        "eval_strategy": "steps",
        "eval_steps": evaluation.every,
        "save_strategy": "steps",
        "save_steps": evaluation.every,
        "save_total_limit": evaluation.keep,
        "load_best_model_at_end": True,
        "metric_for_best_model": RANK,
        "greater_is_better": True,
    }


def _make_collator(settings: Settings, tokenizer: Any) -> Callable[..., Any] | None:
    return (
        partial(collate, padding=tokenizer.pad_token_id)
        if settings.training.tokens is not None
        else None
    )


def _make_decay(settings: Settings, inspection: Inspection) -> dict[str, Any] | None:
    """After `hold` the rate falls linearly to 0."""
    hold = settings.training.hold
    total = inspection.steps(settings).total
    return (
        None
        if hold is None
        else {"num_decay_steps": total - round(hold * total), "decay_type": "linear"}
    )


def _make_training_rows(settings: Settings, inspection: Inspection) -> Any:
    if inspection.encoded is not None:
        return _make_dataset(inspection.encoded["train"])
    train, tokenizer, longest = (
        inspection.sources.train,
        inspection.tokenizer,
        settings.training.max_length,
    )
    indexes = Dataset.from_dict({"index": list(range(train.note.rows))})
    if settings.training.tokens is not None:
        batches = _make_batches(settings, inspection, settings.training.tokens)
        return indexes.with_transform(
            lambda rows: {"batch": [batches[number] for number in rows["index"]]}
        )

    def encode(batch: dict[str, list[int]]) -> dict[str, list[list[int]]]:
        encoded = [encode_or_raise(train.at(index), tokenizer, longest) for index in batch["index"]]
        return {
            "input_ids": [each.input_ids for each in encoded],
            "labels": [each.labels for each in encoded],
        }

    return indexes.with_transform(encode)


def _make_batches(settings: Settings, inspection: Inspection, tokens: int) -> TokenBatches:
    train, tokenizer, longest = (
        inspection.sources.train,
        inspection.tokenizer,
        settings.training.max_length,
    )

    def encoding(at: Callable[[int], Example]) -> Callable[[int], Encoded]:
        return lambda index: encode_or_raise(at(index), tokenizer, longest)

    mix = settings.data.mix or {ANSWERS: [(0.0, 1.0)]}
    kinds = {kind: encoding(at) for kind, at in train.kinds.items()}
    return TokenBatches(kinds, mix, tokens, train.note.rows, settings.training.seed)


def _make_loss_rows(settings: Settings, inspection: Inspection, evaluator: AnswerEvaluator) -> Any:
    evaluation = inspection.sources.eval
    places = spread_indexes(evaluation.note.rows, settings.evaluation.loss_rows)
    if inspection.encoded is not None:
        return _make_dataset([inspection.encoded["eval"][place] for place in places])
    return _make_dataset(
        [
            encode_or_raise(evaluation.at(place), evaluator.tokenizer, settings.training.max_length)
            for place in places
        ]
    )


def _make_dataset(encoded: list[Encoded]) -> Any:
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in encoded],
            "labels": [each.labels for each in encoded],
        }
    )
