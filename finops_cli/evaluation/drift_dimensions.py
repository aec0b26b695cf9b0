"""Read inputs and predictions from the lines of a run, to compare their distributions.

Source: kb `drift.threshold`.

Predictions are the model's own values. If the engine's answer replaced the model's, the findings
keep the model's values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.money import plain
from finops_cli.errors import UsageError
from finops_cli.evaluation.results_dir import ANSWERS, require_finished
from finops_cli.files.jsonl import lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.kb.factors import FACTORS
from finops_cli.monitoring.predictions import predictions_of
from finops_cli.pipeline.output import Line, read_line

Kind = Literal["prediction", "input"]


class Dimension(NamedTuple):
    """A distribution that is tested for drift."""

    name: str
    kind: Kind


DIMENSIONS = (
    Dimension("tier", "prediction"),
    Dimension("category", "prediction"),
    Dimension("action", "prediction"),
    Dimension("answers", "prediction"),
    Dimension("fallback", "prediction"),
    Dimension("residual", "prediction"),
    Dimension("age factor", "input"),
    Dimension("value factor", "input"),
    Dimension("regulatory factor", "input"),
    Dimension("counterparty factor", "input"),
    Dimension("inventory modifier", "input"),
    Dimension("direction", "input"),
)


class LineFeatures(NamedTuple):
    """The values of one line, by dimension."""

    values: dict[str, str]
    stands: bool = True
    """False if a triage was requested and none was accepted, for example with `--on-violation
    reject`.

    Such a line does not show its inputs.
    """


def read_features(path: Path) -> Iterator[LineFeatures]:
    """Read the features of each line of a run.

    `path` is the output of a run, or the folder of an evaluation.

    Raises UsageError.
    """
    answers = require_finished(path) / ANSWERS if path.is_dir() else path
    if not answers.exists():
        raise UsageError(
            f"{path}: no run here", "give the output of a run, or the folder of an evaluation"
        )
    with reading_lines(answers) as file:
        for number, (line, _) in enumerate(lines_of(file), start=1):
            try:
                written = read_line(line)
            except UNREADABLE as error:
                raise UsageError(
                    f"{answers} line {number} is not an output line of `finops run`:"
                    f" {describe_decode_error(error)}",
                    "give the output of a run, or the folder of an evaluation",
                ) from error
            if written.status != "rejected":  # not sent to a backend
                yield LineFeatures(_values(written), stands=written.triage is not None)


def _values(line: Line) -> dict[str, str]:
    values = predictions_of(line)
    if isinstance(line.triage, Struct):
        values |= _inputs(line.triage)
    return values


def _inputs(triage: Any) -> dict[str, str]:
    """Return the factors of the verified score, which are the bands of the input."""
    c = triage.score_components
    return {
        **{
            f"{factor.word} factor": plain(getattr(c, factor.field))
            for factor in FACTORS
            if factor.field is not None
        },
        "inventory modifier": plain(c.inventory_modifier),
        "direction": triage.cns_direction,
    }
