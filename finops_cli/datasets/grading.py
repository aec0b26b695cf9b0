"""Grades of a model's answers to held-out rows: the checker of the pipeline judges them, whoever
asked the model.

`training.answer_eval` asks a model during training, `quantization.accuracy_check` asks the file
that was made from it. Their scores mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.models.tasks import Task
from finops_cli.models.verified_backend import parse_and_check


class Grade(NamedTuple):
    """The grade of one answer."""

    valid: bool
    """It can be read and has the right shape."""
    exact: bool
    """It has no finding."""
    same_decision: bool
    """It decides as the rules do: same tier, same steps, same label."""


NO_ANSWER = Grade(False, False, False)
"""The grade of an answer that cannot be read, or did not come."""


class Scores(Struct, frozen=True):
    """How many of the `asked` answers are valid, exact, and the same decision as the rules'."""

    asked: int
    valid: int
    exact: int
    decided: int

    def rank(self, loss: float) -> float:
        """Exact counts before decided, decided before valid; a lower loss decides between
        equals.
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


def grade_answer(task: Task[Any], text: str, decision: Callable[[Any], object]) -> Grade:
    """Grade the text of a model as the answer to `task`; nothing is repaired."""
    reply = parse_and_check(task, text, task.prompt.thinks)
    if reply.answer is None:
        return NO_ANSWER
    same = decision(reply.answer) == decision(task.reference)
    return Grade(True, not reply.findings, same)


def grade_label(text: str, expected: str, labels: Iterable[str]) -> Grade:
    """Grade an answer of one word."""
    label = text.strip().lower()
    right = label == expected
    return Grade(label in labels, right, right)
