"""Check the tone of the notes in a line of `finops run --sentiment` (kb: `check.tone`)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.domain.finding import Finding
from finops_cli.domain.sentiment import Sentiment, Tone, sentiment_of
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.schemas import show_value

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
