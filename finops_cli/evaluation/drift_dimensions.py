"""Read inputs and predictions from the lines of a run, to compare their distributions.

Source: kb `drift.threshold`.

Predictions are the model's own values. If the engine's answer replaced the model's, the findings
keep the model's values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.errors import UsageError
from finops_cli.evaluation.results_dir import ANSWERS, require_finished
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading
from finops_cli.kb.factors import FACTORS
from finops_cli.pipeline.output import Line, read_line

Kind = Literal["prediction", "input"]
_NO_ANSWER = "no answer"
_STATUS_WORDS: dict[Status, str] = {
    "ok": "accepted",
    "repaired": "repaired",
    "fallback": "replaced",
    "failed": "failed",
}


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
    with reading(answers) as file:
        for number, (line, _) in enumerate(lines_of(file), start=1):
            try:
                written = read_line(line)
            except msgspec.MsgspecError as error:
                raise UsageError(
                    f"{answers} line {number} is not an output line of `finops run`:"
                    f" {describe_decode_error(error)}",
                    "give the output of a run, or the folder of an evaluation",
                ) from error
            if written.status != "rejected":  # not sent to a backend
                yield LineFeatures(_values(written), stands=written.triage is not None)


def _values(line: Line) -> dict[str, str]:
    values = {"answers": _answer_value(line)}
    triage, plan = line.triage, line.resolution
    if isinstance(triage, Struct):
        findings = _findings(line.verification.triage)
        for name, field in (
            ("tier", "priority_tier"),
            ("category", "category"),
            ("action", "action"),
        ):
            values[name] = _prediction(findings, field, getattr(triage, field))
        values |= _inputs(triage)
    if isinstance(plan, Struct):
        findings = _findings(line.verification.resolution)
        values["fallback"] = _prediction(findings, "fallback_strategy", plan.fallback_strategy)
        values["residual"] = (
            "some"
            if _prediction(findings, "residual_short", plan.residual_short) != "0"
            else "none"
        )
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


def _findings(found: Any) -> list[Finding]:
    return found if isinstance(found, list) else []


def _prediction(findings: list[Finding], field: str, stands: Any) -> str:
    """Return the model's own value: the value that a finding rejects, else the accepted value.

    A record without an answer has no value.
    """
    if any(finding.rule.startswith(("reply.", "schema.")) for finding in findings):
        return _NO_ANSWER
    blamed = next((finding.actual for finding in findings if finding.path == f"/{field}"), stands)
    return str(blamed)


def _answer_value(line: Line) -> str:
    """Name how the answers of the line were accepted, by the worst status of its stages."""
    found = [*_findings(line.verification.triage), *_findings(line.verification.resolution)]
    if any(finding.rule.startswith(("reply.", "schema.")) for finding in found):
        return _NO_ANSWER
    if line.status == "ok" and any(error.rules for error in line.provenance.attempt_errors or ()):
        return "asked again"
    return _STATUS_WORDS[line.status]
