"""What a model's answers to held-out rows are worth: the checker of the desk judges them, whoever
has the model say them.

`training.examine` asks a model while it is trained, `weights.trial` the file that was made of it.
Their scores mean the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.datasets.rows import Row, Stage
from finops_cli.datasets.sentiment.grammar import LABELS
from finops_cli.domain import exact_json
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.tasks import Task, resolver_task, triage_task
from finops_cli.models.verified_backend import parse_and_check
from finops_cli.verify.codecs import FAIL, RESOLVER_INPUT

DECISION_FIELDS: dict[Stage, str] = {"triage": "tier", "resolver": "steps", "sentiment": "label"}
"""What `Verdict.decided` means: the same tier; the same actions with the same quantities in the
same order; the same label.
"""


class Grade(NamedTuple):
    """Whether an answer can be read and has the right shape, is without any finding, and decides as
    the rules do.
    """

    valid: bool
    exact: bool
    decided: bool


NO_ANSWER = Grade(False, False, False)
"""Of a model that said nothing."""


class Scores(Struct, frozen=True):
    """Of `asked` answers: how many are what a `Verdict` says of one."""

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


def total(verdicts: Iterable[Grade]) -> Scores:
    """The scores of a model from the verdicts of its answers."""
    each = list(verdicts)
    return Scores(len(each), *(sum(verdict[place] for verdict in each) for place in range(3)))


def grade(row: Row, text: str, kb: KnowledgeBase) -> Grade:
    """The verdict of what a model said to the record of `row`, nothing repaired.

    Raises UsageError as `question_of` does.
    """
    if row.stage == "sentiment":
        label = text.strip().lower()
        right = label == row.answer
        return Grade(label in LABELS, right, right)
    question = task_of(row, kb)
    said = parse_and_check(question, text, question.prompt.thinks)
    if said.answer is None:
        return NO_ANSWER
    return Grade(True, not said.findings, _decision(said.answer) == _decision(question.reference))


def task_of(row: Row, kb: KnowledgeBase, modelfile: str | None = None) -> Task[Any]:
    """What the desk asks about the record of `row`, by the Modelfile of its stage or another.

    Raises UsageError for no record of the stage.
    """
    given = exact_json.decode(row.record)
    if row.stage == "triage" and (fail := FAIL.read(given)) is not None:
        return triage_task(fail, kb, modelfile or row.stage)
    if row.stage == "resolver" and (case := RESOLVER_INPUT.read(given)) is not None:
        return resolver_task(case, kb, modelfile or row.stage)
    raise UsageError(
        f"row {row.id}: its record does not have the shape of stage {row.stage}",
        "generate the data anew",
    )


def _decision(answer: Triage | Resolution) -> object:
    if isinstance(answer, Triage):
        return answer.priority_tier
    return [(step.action, step.qty) for step in answer.resolution_steps]
