"""A model examined while it is trained: it answers records of the eval split, and the desk's own
checker judges what it says.

The loss says how well the next token is foreseen. Whether the score is right, it does not say; so
the checkpoint that is kept is the one whose answers are best, and the loss only decides between
equals.
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
from finops_cli.training.data.row_checks import rendered
from finops_cli.training.recipe_schema import Evaluation


@dataclass(frozen=True)
class AnswerEvaluator:
    """Puts `rows` to a model."""

    rows: Sequence[Row]
    tokenizer: Any
    evaluation: Evaluation
    kb: KnowledgeBase

    def examine(self, model: Any) -> Scores:
        """The scores of `model`, which is left in the mode that it was in.

        Draws nothing: the most likely token each time.
        """
        return total(grade(row, text, self.kb) for row, text in self.answers(model))

    def answers(self, model: Any) -> Iterator[tuple[Row, str]]:
        """Each row with what the model says to it."""
        trains = model.training
        model.eval()
        size = self.evaluation.batch
        for start in range(0, len(self.rows), size):
            rows = self.rows[start : start + size]
            yield from zip(rows, self._say(model, rows), strict=True)
        model.train(trains)

    def _say(self, model: Any, rows: Sequence[Row]) -> list[str]:
        asked = [
            rendered(
                self.tokenizer, row.prompt, row.chat_template_kwargs.enable_thinking, asks=True
            )
            for row in rows
        ]
        ids = self.tokenizer(asked, add_special_tokens=False).input_ids
        padded = self.tokenizer.pad(
            {"input_ids": ids}, padding_side="left", return_tensors="pt"
        )  # a call that pads would leave its mark
        given = {name: padded[name].to(model.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            said = model.generate(
                **given,
                max_new_tokens=self.evaluation.new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                use_cache=True,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )
        behind = said[:, given["input_ids"].shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(behind, skip_special_tokens=True)
        return texts


def spread(rows: int, wanted: int) -> list[int]:
    """At most `wanted` indexes of `rows`, evenly spaced."""
    count = min(rows, wanted)
    return [place * rows // count for place in range(count)]
