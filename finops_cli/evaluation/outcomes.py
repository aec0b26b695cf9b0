"""What came of one record, as a line of `outcomes.jsonl`: every figure of a report can be reckoned
anew from these lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.enums import Status
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.errors import UsageError
from finops_cli.evaluation.strata import Strata
from finops_cli.models.protocol import ModelStage

COMPONENTS = ScoreComponents.__struct_fields__
TRIAGE_FIELDS = (
    tuple(name for name in Triage.__struct_fields__ if name not in ("score_components", "reason"))
    + COMPONENTS
)
PLAN_FIELDS = (
    "steps",
    *(
        name
        for name in Resolution.__struct_fields__
        if name not in ("resolution_steps", "escalation_reason", "narrative")
    ),
)

First = Literal["right", "wrong", "none"]
"""The first answer (kb: `evaluate.outcomes`)."""


class PlanShares(Struct, frozen=True):
    """Of a resolver input, in shares (kb: `evaluate.coverage_lost`); the last three are null
    without an answer.
    """

    owed: int
    coverable: int
    delivered: int | None = None
    lost: int | None = None
    overstated: int | None = None


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record. `content` names it by what the rules read of it; `expected` and `said` hold the
    judged fields.

    `said` is the first answer's, null where none could be read; `why` are the rules that it broke.
    `status` is that of what stands after repair.
    """

    id: str
    content: str
    stage: ModelStage
    strata: Strata
    first: First | None
    why: tuple[str, ...]
    status: Status
    attempts: int
    expected: dict[str, Any]
    said: dict[str, Any] | None
    shares: PlanShares | None = None
    latency_ms: Decimal | None = None
    tokens: int | None = None
    generating_ms: Decimal | None = None


FILE = "outcomes.jsonl"
NAME_CHARS = 16
"""Of the digest that names a record by its content."""


def encoded(outcome: Outcome) -> bytes:
    return exact_json.encode(outcome) + b"\n"


def outcomes_in(folder: Path) -> Iterator[Outcome]:
    """The outcomes of the evaluation in `folder`.

    Raises UsageError naming the line that is none.
    """
    file = folder / FILE
    if not file.is_file():
        raise UsageError(
            f"{folder}: no evaluation here", "give the folder that `finops evaluate -o` wrote"
        )
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                outcome = msgspec.convert(exact_json.decode(line), Outcome)
                _refuse_other_fields(outcome)
            except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
                raise UsageError(
                    f"{file} line {number}: is no outcome of an evaluation ({error})"
                ) from error
            yield outcome


def _refuse_other_fields(outcome: Outcome) -> None:
    """Raises ValueError where what was expected or said has not the judged fields of the stage."""
    judged = TRIAGE_FIELDS if outcome.stage == "triage" else PLAN_FIELDS
    for fields in (outcome.expected, outcome.said):
        if outcome.first is not None and fields is not None and not fields.keys() >= {*judged}:
            raise ValueError(f"a field of {outcome.stage} is missing")


def triage_fields(answer: Triage) -> dict[str, Any]:
    """Every judged field of a triage.

    Sentences are judged by what they claim, not by their wording.
    """
    said = {name: getattr(answer, name) for name in TRIAGE_FIELDS if name not in COMPONENTS}
    return said | {name: getattr(answer.score_components, name) for name in COMPONENTS}


def plan_fields(plan: Resolution) -> dict[str, Any]:
    """Every judged field of a plan; its steps as action, participant and shares."""
    said = {name: getattr(plan, name) for name in PLAN_FIELDS if name != "steps"}
    return {"steps": [(step.action, step.dtc, step.qty) for step in plan.resolution_steps]} | said
