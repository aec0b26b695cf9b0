"""Evaluate a model during training: it answers held-out records, and the answers are graded.

The grader is the checker of `finops run`.

The loss measures the prediction of the next token, not the correctness of a score. So the
checkpoint with the best answers is kept, and the loss decides only between equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from finops_cli.datasets.grading import Scores, total
from finops_cli.datasets.rows import Row
from finops_cli.datasets.stages import grade
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.row_checks import render_chat
from finops_cli.training.recipe_schema import Evaluation


@dataclass(frozen=True)
class AnswerEvaluator:
    """Evaluation of a model on `rows`."""

    rows: Sequence[Row]
    tokenizer: Any
    evaluation: Evaluation
    kb: KnowledgeBase

    def evaluate(self, model: Any) -> Scores:
        """Return the scores of `model`. Decoding is greedy; nothing is sampled."""
        return total(grade(row, text, self.kb) for row, text in self.answer(model))

    def answer(self, model: Any) -> Iterator[tuple[Row, str]]:
        """Yield each row with the model's answer. The mode of the model is restored afterwards."""
        was_training = model.training
        model.eval()
        size = self.evaluation.batch
        for start in range(0, len(self.rows), size):
            rows = self.rows[start : start + size]
            yield from zip(rows, self._generate(model, rows), strict=True)
        model.train(was_training)

    def _generate(self, model: Any, rows: Sequence[Row]) -> list[str]:
        prompts = [
            render_chat(
                self.tokenizer, row.prompt, row.chat_template_kwargs.enable_thinking, asks=True
            )
            for row in rows
        ]
        ids = self.tokenizer(prompts, add_special_tokens=False).input_ids
        # padded separately: a padding call would change the tokenizer's own settings
        padded = self.tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
        inputs = {name: padded[name].to(model.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            sequences = model.generate(
                **inputs,
                max_new_tokens=self.evaluation.new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                use_cache=True,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )
        answers = sequences[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts


def spread_indexes(rows: int, wanted: int) -> list[int]:
    """Return at most `wanted` indexes of `rows`, evenly spaced."""
    count = min(rows, wanted)
    return [place * rows // count for place in range(count)]
