"""What a model's answers to held-out rows are worth: the checker of the desk judges them, whoever
has the model say them.

`training.examine` asks a model while it is trained, `weights.trial` the file that was made of it.
Their scores mean the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.foundry.rows import Row, Stage
from finops_cli.foundry.sentiment_grammar import LABELS
from finops_cli.kb.book import Book
from finops_cli.models.questions import Question, resolver_question, triage_question
from finops_cli.models.verified import heard
from finops_cli.verify.shapes import FAIL, RESOLVER_INPUT

DECIDES: dict[Stage, str] = {"triage": "tier", "resolver": "steps", "sentiment": "label"}
"""What `Verdict.decided` means: the same tier; the same actions with the same quantities in the
same order; the same label.
"""


class Verdict(NamedTuple):
    """Whether an answer can be read and has the right shape, is without any finding, and decides as
    the rules do.
    """

    valid: bool
    exact: bool
    decided: bool


NOT_HEARD = Verdict(False, False, False)
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


def counted(verdicts: Iterable[Verdict]) -> Scores:
    """The scores of a model from the verdicts of its answers."""
    each = list(verdicts)
    return Scores(len(each), *(sum(verdict[place] for verdict in each) for place in range(3)))


def judged(row: Row, text: str, book: Book) -> Verdict:
    """The verdict of what a model said to the record of `row`, nothing repaired.

    Raises UsageError as `question_of` does.
    """
    if row.stage == "sentiment":
        label = text.strip().lower()
        right = label == row.answer
        return Verdict(label in LABELS, right, right)
    question = question_of(row, book)
    said = heard(question, text, question.prompt.thinks)
    if said.answer is None:
        return NOT_HEARD
    return Verdict(True, not said.findings, _decision(said.answer) == _decision(question.reference))


def question_of(row: Row, book: Book, modelfile: str | None = None) -> Question[Any]:
    """What the desk asks about the record of `row`, by the Modelfile of its stage or another.

    Raises UsageError for no record of the stage.
    """
    given = exact_json.decode(row.record)
    if row.stage == "triage" and (fail := FAIL.read(given)) is not None:
        return triage_question(fail, book, modelfile or row.stage)
    if row.stage == "resolver" and (case := RESOLVER_INPUT.read(given)) is not None:
        return resolver_question(case, book, modelfile or row.stage)
    raise UsageError(
        f"row {row.id}: its record does not have the shape of stage {row.stage}; generate the data"
        " anew"
    )


def _decision(answer: Triage | Resolution) -> object:
    if isinstance(answer, Triage):
        return answer.priority_tier
    return [(step.action, step.qty) for step in answer.resolution_steps]
