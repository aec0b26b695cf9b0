"""The predictions of an output line, by dimension. Source: kb `drift.threshold`.

They are the model's own values: where a finding rejects a value, the rejected one counts, so that a
repair by the rules does not hide that the model drifts.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

DIMENSIONS = ("tier", "category", "action", "answers", "fallback", "residual", "label")
NO_ANSWER = "no answer"
_STATUS_WORDS = {
    "ok": "accepted",
    "repaired": "repaired",
    "fallback": "replaced",
    "failed": "failed",
}


class _Finding(Struct, frozen=True):
    rule: str
    path: str = ""
    actual: Any = None


class _Triage(Struct, frozen=True):
    priority_tier: str
    category: str
    action: str


class _Plan(Struct, frozen=True):
    fallback_strategy: str
    residual_short: int


class _Verification(Struct, frozen=True):
    triage: list[_Finding] | None = None
    resolution: list[_Finding] | None = None


class _AttemptError(Struct, frozen=True):
    rules: tuple[str, ...] = ()


class _Provenance(Struct, frozen=True):
    attempt_errors: tuple[_AttemptError, ...] | None = None


class _Sentiment(Struct, frozen=True):
    label: str


class _Tone(Struct, frozen=True):
    status: str
    sentiment: _Sentiment | None = None


class _Line(Struct, frozen=True):
    """The parts of a line of `finops run` or `finops sentiment` that hold predictions."""

    status: str
    triage: _Triage | None = None
    resolution: _Plan | None = None
    verification: _Verification = _Verification()
    provenance: _Provenance = _Provenance()
    sentiment: _Sentiment | None = None
    tone: _Tone | None = None


class _Timing(Struct, frozen=True):
    latency_ms: float | None = None


class _TimedLine(Struct, frozen=True):
    fail_id: str | None = None
    id: str | None = None
    provenance: _Timing = _Timing()


_DECODER = msgspec.json.Decoder(_Line)
_TIMED_DECODER = msgspec.json.Decoder(_TimedLine)


def read_predictions(line: bytes) -> dict[str, str] | None:
    """Return the predictions of an output line by dimension; None for a line that has none.

    A rejected line has none, because no backend was asked. Raises msgspec.DecodeError for a line
    that is not an output line.
    """
    written = _DECODER.decode(line)
    if written.status == "rejected":
        return None
    sentiment = written.sentiment
    if sentiment is not None:
        is_own = written.status == "ok"
        return {
            "answers": _STATUS_WORDS.get(written.status, written.status),
            "label": sentiment.label if is_own else NO_ANSWER,
        }
    tone = written.tone
    if tone is None or tone.sentiment is None:
        return predictions_of(written)
    label = tone.sentiment.label if tone.status == "ok" else NO_ANSWER
    return {**predictions_of(written), "label": label}


def read_latency(line: bytes) -> tuple[str, float | None]:
    """Return the name of an output line, and its latency in ms; None if it was not timed.

    Raises msgspec.DecodeError for a line that is not an output line.
    """
    written = _TIMED_DECODER.decode(line)
    return written.fail_id or written.id or "", written.provenance.latency_ms


def predictions_of(line: Any) -> dict[str, str]:
    """Return the predictions of a decoded line of `finops run`, by dimension."""
    values = {"answers": _answer_value(line)}
    triage, plan = line.triage, line.resolution
    if isinstance(triage, Struct):
        findings = _listed(line.verification.triage)
        for name, field in (
            ("tier", "priority_tier"),
            ("category", "category"),
            ("action", "action"),
        ):
            values[name] = _prediction(findings, field, getattr(triage, field))
    if isinstance(plan, Struct):
        findings = _listed(line.verification.resolution)
        strategy: Any = getattr(plan, "fallback_strategy", "")
        values["fallback"] = _prediction(findings, "fallback_strategy", strategy)
        short = _prediction(findings, "residual_short", getattr(plan, "residual_short", 0))
        values["residual"] = "some" if short != "0" else "none"
    return values


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _is_no_answer(findings: list[Any]) -> bool:
    return any(finding.rule.startswith(("reply.", "schema.")) for finding in findings)


def _prediction(findings: list[Any], field: str, stands: Any) -> str:
    """Return the model's own value: the one that a finding rejects, else the accepted one.

    A record without an answer has no value.
    """
    if _is_no_answer(findings):
        return NO_ANSWER
    blamed = next((finding.actual for finding in findings if finding.path == f"/{field}"), stands)
    return str(blamed)


def _answer_value(line: Any) -> str:
    """Name how the answers of the line were accepted, by the worst status of its stages."""
    found = [*_listed(line.verification.triage), *_listed(line.verification.resolution)]
    if _is_no_answer(found):
        return NO_ANSWER
    errors = line.provenance.attempt_errors or ()
    if line.status == "ok" and any(error.rules for error in errors):
        return "asked again"
    return _STATUS_WORDS[line.status]
