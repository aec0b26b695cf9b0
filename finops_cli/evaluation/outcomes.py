"""Read and write `outcomes.jsonl`, which has one line for each record of an evaluation.

Every number of a report can be computed again from these lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.enums import Status
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.plan_coverage import PlanShares
from finops_cli.evaluation.strata import Strata

FILE = "outcomes.jsonl"
NAME_CHARS = 16
"""Number of characters of the digest that identifies a record by its content."""
First = Literal["right", "wrong", "none"]
"""The grade of the first answer (kb: `evaluate.outcomes`)."""


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome of one record."""

    id: str
    content: str
    """The digest of the fields that the rules read."""
    stage: StageName
    strata: Strata
    first: First | None
    why: tuple[str, ...]
    """The rules that the first answer broke."""
    status: Status
    """The status of the answer after repair."""
    attempts: int
    expected: dict[str, Any]
    """The graded fields of the correct answer."""
    said: dict[str, Any] | None
    """The graded fields of the first answer; null if it could not be read."""
    sentences: int = 0
    """The sentences of a model's first answer."""
    replaced_sentences: int = 0
    """Those of them that --prose strict replaces."""
    shares: PlanShares | None = None
    latency_ms: Decimal | None = None
    tokens: int | None = None
    generating_ms: Decimal | None = None


def encode(outcome: Outcome) -> bytes:
    """Encode an outcome as a line of `outcomes.jsonl`."""
    return exact_json.encode(outcome) + b"\n"


def read_outcomes(folder: Path) -> Iterator[Outcome]:
    """Read the outcomes of the evaluation in `folder`.

    Raises UsageError that names the line that is not an outcome.
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
            except (ValueError, *UNREADABLE) as error:
                raise UsageError(
                    f"{file} line {number} is not an outcome of an evaluation:"
                    f" {describe_decode_error(error)}",
                    "evaluate again, into another folder",
                ) from error
            yield outcome


def _refuse_other_fields(outcome: Outcome) -> None:
    """Raise ValueError for an unknown stage, or if an answer lacks a graded field of the stage."""
    if outcome.stage not in GRADED_STAGES:
        raise ValueError(f"stage is {outcome.stage}. Expected {' or '.join(GRADED_STAGES)}")
    graded = GRADED_STAGES[outcome.stage].fields
    for fields in (outcome.expected, outcome.said):
        if outcome.first is not None and fields is not None and not fields.keys() >= {*graded}:
            raise ValueError(f"a field of {outcome.stage} is missing")
