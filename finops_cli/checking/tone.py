"""Check the tone of the notes in a line of `finops run --sentiment` (kb: `check.tone`)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.sentiment import Sentiment, Tone, sentiment_of
from finops_cli.guard.placeholders import WITHHELD
from finops_cli.guard.records import guarded_fail
from finops_cli.kb.chapters.guard import GuardSettings
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.sentiment.baseline import BaselineClassifier
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.pipeline.sentiment.tone import ToneReader
from finops_cli.verify.schemas import show_value

if TYPE_CHECKING:
    from finops_cli.guard.detector import Guard

_RULE = "check.tone"
_ANSWERED = ("ok", "fallback")


class _Line(Struct):
    tone: Tone | None = None


_DECODER = msgspec.json.Decoder(_Line)


def check_tone(given: dict[str, Any], kb: KnowledgeBase) -> list[Finding]:
    """Check that a label, its confidence, its scores, its flags and its status agree."""
    if given.get("tone") is None:
        return []
    try:
        tone = _DECODER.decode(exact_json.encode({"tone": given["tone"]})).tone
    except msgspec.ValidationError as error:
        return [_finding("/tone", f"the tone of notes ({error})", given["tone"])]
    if tone is None:
        return []
    if (tone.sentiment is None) == (tone.status in _ANSWERED):
        due = "a sentiment" if tone.sentiment is None else "ok or fallback"
        return [_finding("/tone/status", due, tone.status)]
    return [] if tone.sentiment is None else _check_sentiment(tone, tone.sentiment, kb)


def check_tone_of(given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase) -> list[Finding]:
    """Compare the tone of a line with the notes of its record.

    The baseline that ships labels the notes again, masked where the guard masked the record. The
    tone of a model, and of a baseline with another digest, is compared with nothing.
    """
    if given.get("tone", UNSET) is UNSET or given["status"] == "rejected":
        return []
    has_notes = bool(fail.notes and fail.notes.strip())
    if has_notes == (given["tone"] is None):
        due = "the tone of the notes" if has_notes else "null: the record has no notes"
        return [_finding("/tone", due, given["tone"])]
    if given["tone"] is None:
        return []
    tone = _DECODER.decode(exact_json.encode({"tone": given["tone"]})).tone
    stated = msgspec.to_builtins(tone)
    baseline = _baseline()
    digests = baseline.origin.digests or {}
    if stated["backend"] != baseline.origin.name or stated["digest"] != digests.get(STAGE):
        return []
    notes = _masked_notes(given, fail, kb)
    due_tone = None if notes is None else ToneReader(baseline, kb).read(notes)
    if due_tone is None or due_tone == tone:
        return []
    expected = msgspec.to_builtins(due_tone)
    name = next(name for name in expected if expected[name] != stated[name])
    return [_finding(f"/tone/{name}", expected[name], stated[name])]


def _masked_notes(given: dict[str, Any], fail: FailRecord, kb: KnowledgeBase) -> str | None:
    """Return the notes as the backend read them; None where that cannot be known here."""
    kinds = given["provenance"].get("masked") or ()
    if not kinds:
        return fail.notes
    from finops_cli.guard.detector import installed  # its patterns take long to compile

    if WITHHELD in kinds or not installed():
        return None
    return guarded_fail(_guard(kb.guard), fail)[0].notes


@cache
def _guard(settings: GuardSettings) -> Guard:
    from finops_cli.guard.detector import open_guard

    return open_guard(settings)


@cache
def _baseline() -> BaselineClassifier:
    return BaselineClassifier()


def _check_sentiment(tone: Tone, found: Sentiment, kb: KnowledgeBase) -> list[Finding]:
    findings = []
    if found.scores is not None:
        due = sentiment_of(found.scores)
        total = sum(getattr(found.scores, name) for name in found.scores.__struct_fields__)
        if total != 1:
            findings.append(_finding("/tone/sentiment/scores", "scores of a sum of 1", str(total)))
        if getattr(found.scores, found.label) != getattr(found.scores, due.label):
            findings.append(_finding("/tone/sentiment/label", due.label, found.label))
        elif found.confidence != getattr(found.scores, found.label):
            expected = str(getattr(found.scores, found.label))
            findings.append(_finding("/tone/sentiment/confidence", expected, str(found.confidence)))
    is_low = found.confidence is not None and found.confidence < kb.sentiment.low_confidence
    if is_low != ("low_confidence" in tone.flags):
        due_flags = "low_confidence" if is_low else "no low_confidence"
        findings.append(_finding("/tone/flags", due_flags, list(tone.flags)))
    return findings


def _finding(path: str, expected: Any, actual: Any) -> Finding:
    message = f"{path[1:]} is {show_value(actual)}; expected: {expected}"
    return Finding(rule=_RULE, path=path, expected=expected, actual=actual, message=message)
