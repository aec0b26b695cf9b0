"""What a line of a run tells of inputs and predictions: the values whose distributions drift (kb:
`drift.threshold`).

Predictions are the model's own words. Where the engine's answer stands instead, the findings keep
what the model said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Finding
from finops_cli.domain.money import plain
from finops_cli.errors import UsageError
from finops_cli.evaluation.results_dir import ANSWERS, finished
from finops_cli.files.jsonl import lines_of
from finops_cli.files.safe_io import reading
from finops_cli.kb.factors import FACTORS
from finops_cli.pipeline.output import Line, read_line

Kind = Literal["prediction", "input"]
_SILENT = "no answer"
_CAME: dict[Status, str] = {
    "ok": "as it came",
    "repaired": "repaired",
    "fallback": "replaced",
    "failed": "failed",
}


class Dimension(NamedTuple):
    """A distribution that is watched."""

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
    """What a line shows: a value for each dimension that it tells of.

    `stands`: whether a triage that was asked for stands. Where none does, as with `--on-violation
    reject`, nothing tells the inputs.
    """

    values: dict[str, str]
    stands: bool = True


def read_features(path: Path) -> Iterator[LineFeatures]:
    """What each line of a run shows; `path` is its output, or the folder of an evaluation.

    Raises UsageError.
    """
    answers = finished(path) / ANSWERS if path.is_dir() else path
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
                    f"{answers} line {number}: is no output line of `finops run` ({error})"
                ) from error
            if written.status != "rejected":  # nobody was asked
                yield LineFeatures(_values(written), stands=written.triage is not None)


def _values(line: Line) -> dict[str, str]:
    shown = {"answers": _answered(line)}
    triage, plan = line.triage, line.resolution
    if isinstance(triage, Struct):
        findings = _findings(line.verification.triage)
        for name, field in (
            ("tier", "priority_tier"),
            ("category", "category"),
            ("action", "action"),
        ):
            shown[name] = _said(findings, field, getattr(triage, field))
        shown |= _inputs(triage)
    if isinstance(plan, Struct):
        findings = _findings(line.verification.resolution)
        shown["fallback"] = _said(findings, "fallback_strategy", plan.fallback_strategy)
        shown["residual"] = (
            "some" if _said(findings, "residual_short", plan.residual_short) != "0" else "none"
        )
    return shown


def _inputs(triage: Any) -> dict[str, str]:
    """The factors of the verified score, which are the bands that the input fell into."""
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


def _said(findings: list[Finding], field: str, stands: Any) -> str:
    """What the model said: the value that a finding blames, else what stands.

    Without an answer it said nothing.
    """
    if any(finding.rule.startswith(("reply.", "schema.")) for finding in findings):
        return _SILENT
    blamed = next((finding.actual for finding in findings if finding.path == f"/{field}"), stands)
    return str(blamed)


def _answered(line: Line) -> str:
    """How the answers of the line came to stand: the worst of its stages, and of a stage its last
    word.
    """
    found = [*_findings(line.verification.triage), *_findings(line.verification.resolution)]
    if any(finding.rule.startswith(("reply.", "schema.")) for finding in found):
        return _SILENT
    if line.status == "ok" and any(error.rules for error in line.provenance.attempt_errors or ()):
        return "asked again"
    return _CAME[line.status]
