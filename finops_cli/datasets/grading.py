"""Grade a model's answers to held-out rows with the same checks as the pipeline.

`training.answer_eval` grades a model during training; `quantization.accuracy_check` grades a model
file. Both compute scores with the same meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.tasks import Task
from finops_cli.models.verified_backend import parse_and_check


class Grade(NamedTuple):
    """The grade of one answer."""

    valid: bool
    """The answer can be parsed and has the right shape."""
    exact: bool
    """The checker has no finding."""
    same_decision: bool
    """The decision is the rules' decision: same tier, same steps or same label."""


NO_ANSWER = Grade(False, False, False)
"""The grade of a missing or unreadable answer."""


class Scores(Struct, frozen=True):
    """The number of answers that are valid, that are exact, and that make the rules' decision."""

    asked: int
    valid: int
    exact: int
    decided: int

    def rank(self, loss: float) -> float:
        """Return a number to rank models by: exact first, then decided, then valid, then the lower
        loss.
        """
        places = self.asked + 1
        return (self.exact * places + self.decided) * places + self.valid + 1 / (1 + loss)


def total(grades: Iterable[Grade]) -> Scores:
    """Add up the grades of a model's answers."""
    each = list(grades)
    return Scores(
        len(each),
        sum(grade.valid for grade in each),
        sum(grade.exact for grade in each),
        sum(grade.same_decision for grade in each),
    )


def grade_answer(
    task: Task[Any], text: str, decision: Callable[[Any], object], settings: ModelSettings
) -> Grade:
    """Grade a model's text as the answer to `task`. Nothing is repaired."""
    reply = parse_and_check(task, text, task.prompt.thinks, settings)
    if reply.answer is None:
        return NO_ANSWER
    same = decision(reply.answer) == decision(task.reference)
    return Grade(True, not reply.findings, same)


def grade_label(text: str, expected: str, labels: Iterable[str]) -> Grade:
    """Grade an answer of one word."""
    label = text.strip().lower()
    right = label == expected
    return Grade(label in labels, right, right)
