"""The outcome of one record, as a line of `outcomes.jsonl`: every number of a report can be counted
again from these lines.
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
from finops_cli.errors import UsageError
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.plan_coverage import PlanShares
from finops_cli.evaluation.strata import Strata
from finops_cli.models.protocol import ModelStage

First = Literal["right", "wrong", "none"]
"""The first answer (kb: `evaluate.outcomes`)."""


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record. `content` names it by what the rules read of it; `expected` and `said` hold the
    graded fields.

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
    """Raises ValueError where what was expected or said has not the graded fields of the stage."""
    graded = GRADED_STAGES[outcome.stage].fields
    for fields in (outcome.expected, outcome.said):
        if outcome.first is not None and fields is not None and not fields.keys() >= {*graded}:
            raise ValueError(f"a field of {outcome.stage} is missing")
