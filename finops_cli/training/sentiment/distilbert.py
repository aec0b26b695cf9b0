"""Train a DistilBERT with one output for each label, on a processor: the card's fallback.

It uses torch and transformers alone, so that nothing of QLoRA training (TRL, PEFT, bitsandbytes)
has to be installed, and none of it is imported.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from finops_cli import extras
from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.calibration import fit_temperature, softmax
from finops_cli.models.sentiment.model_calibration import ModelCalibration, write_calibration
from finops_cli.models.transformers.folders import CONFIG, read_folder
from finops_cli.training.sentiment.examples import LabelledSource
from finops_cli.training.sentiment.measure import ClassifierReport, measure_probabilities

OnStep = Callable[[int, int, float], None]
"""Called with the finished steps, all steps, and the loss of the last batch."""
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


class ClassifierTraining(NamedTuple):
    """The model to train, its data, and its folder."""

    base: Path
    """A folder of a DistilBERT, or of another encoder."""
    folder: Path
    source: LabelledSource
    steps: int | None = None
    """None: kb `sentiment.classifier`."""


def refuse_unusable_base(base: Path | None) -> Path:
    """Return the folder of the base. Raises UsageError without a usable one, MissingPiece without
    the packages.
    """
    if base is None:
        raise UsageError(
            "--kind distilbert needs a pretrained base: from random weights it is worse than the"
            " baseline",
            "give a local folder with --base DIR, or use --kind tfidf, which needs none",
        )
    if not (base / CONFIG).is_file():
        raise UsageError(
            f"--base {base}: is not a folder with {CONFIG}. Names of a hub are not downloaded.",
            "give a local folder of distilbert-base-uncased or another encoder",
        )
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise MissingPiece(
            f"--kind distilbert needs {' and '.join(missing)}", extras.cure("transformers")
        )
    return base


def train_classifier(
    wanted: ClassifierTraining, kb: KnowledgeBase, on_step: OnStep
) -> ClassifierReport:
    """Train on the train split, fit the temperature on the calibration split, and save the folder.

    Raises UsageError for a base that cannot be opened.
    """
    os.environ.update(_ENVIRONMENT)
    settings = kb.sentiment.classifier
    steps = wanted.steps or settings["steps"]
    model, tokenizer = _open(wanted.base, settings["seed"])
    _fit(model, tokenizer, wanted.source.rows["train"], settings, steps, on_step)
    rows = wanted.source.rows
    logits = {
        split: list(_logits(model, tokenizer, rows[split], settings))
        for split in ("calibration", "test")
    }
    examples = [
        (found, LABELS.index(row.label))
        for found, row in zip(logits["calibration"], rows["calibration"], strict=True)
    ]
    temperature = fit_temperature(examples)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(wanted.folder)
    tokenizer.save_pretrained(wanted.folder)
    write_calibration(
        wanted.folder,
        ModelCalibration(
            temperature=temperature,
            model_sha256=read_folder("sentiment", wanted.folder, None).digest,
            rows=len(examples),
            data=wanted.source.name,
            data_sha256=wanted.source.sha256,
        ),
    )
    return measure_probabilities(
        [softmax(found, temperature) for found in logits["test"]],
        wanted.source,
        file=str(wanted.folder),
        size=sum(parameter.numel() for parameter in model.parameters()),
        temperature=temperature,
    )


def _open(base: Path, seed: int) -> tuple[Any, Any]:
    """Open the base with new outputs for the labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(
            base,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id={label: place for place, label in enumerate(LABELS)},
            ignore_mismatched_sizes=True,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{base}: cannot be opened as a base: {reason}", "give a complete folder of an encoder"
        ) from error
    return model, tokenizer


def _fit(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sentence],
    settings: Mapping[str, int],
    steps: int,
    on_step: OnStep,
) -> None:
    """Train all weights with AdamW. The same seed gives the same weights on one machine."""
    import torch

    rate, warmup = settings["rate_millionths"] / 1e6, settings["warmup_steps"]
    learner = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)

    def scale(step: int) -> float:
        return min(1.0, (step + 1) / max(1, warmup)) * (1 - step / steps)

    schedule = torch.optim.lr_scheduler.LambdaLR(learner, scale)
    model.train()
    for step, batch in enumerate(_batches(rows, settings, steps), start=1):
        inputs = _encode(tokenizer, batch, settings)
        labels = torch.tensor([LABELS.index(row.label) for row in batch])
        loss = model(**inputs, labels=labels).loss
        learner.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        learner.step()
        schedule.step()
        on_step(step, steps, float(loss))


def _batches(
    rows: Sequence[Sentence], settings: Mapping[str, int], steps: int
) -> Iterator[list[Sentence]]:
    """Yield batches in a new order for each pass over the rows."""
    draw = random.Random(settings["seed"])  # noqa: S311 - seeded, not a secret
    order: list[int] = []
    for _ in range(steps):
        if len(order) < settings["batch"]:
            again = list(range(len(rows)))
            draw.shuffle(again)
            order += again
        yield [rows[order.pop()] for _ in range(min(settings["batch"], len(order)))]


def _logits(
    model: Any, tokenizer: Any, rows: Sequence[Sentence], settings: Mapping[str, int]
) -> Iterator[list[float]]:
    """Yield the logits of each text, in the order of LABELS."""
    import torch

    model.eval()
    size = settings["batch"]
    with torch.inference_mode():
        for start in range(0, len(rows), size):
            inputs = _encode(tokenizer, rows[start : start + size], settings)
            yield from model(**inputs).logits.tolist()


def _encode(tokenizer: Any, rows: Sequence[Sentence], settings: Mapping[str, int]) -> Any:
    return tokenizer(
        [row.text for row in rows],
        truncation=True,
        max_length=settings["max_tokens"],
        padding=True,
        return_tensors="pt",
    )
