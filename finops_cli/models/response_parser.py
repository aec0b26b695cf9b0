"""From the text of a model to the JSON object in it: reasoning, fences and chatter are put aside
and reported.

Models wrap their answer: `<think> ... </think>` before it, a Markdown fence around it, a sentence
before or after. None of it changes what the answer is, so it is tolerated. What leaves open what
the answer is (two different objects, reasoning without an end) is a fault.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from finops_cli.domain import exact_json, limits
from finops_cli.domain.finding import Finding

OPENED, CLOSED = "<think>", "</think>"
_BEGUN = re.compile(r'\{\s*"')
_FENCE = re.compile(r"```[A-Za-z]*")


class ParsedResponse(NamedTuple):
    """The one JSON object of a text, the reasoning before it (None where there is none), and what
    was tolerated (`reply.*`).
    """

    given: dict[str, Any]
    trace: str | None
    tolerated: tuple[str, ...]


def parse_response(text: str, thinks: bool) -> ParsedResponse | Finding:
    """The object in `text`; a finding that says why there is none.

    `thinks`: whether reasoning is expected before it.
    """
    trace, answer = split_reasoning(text)
    if answer is None:
        return _fault(
            "reply.unclosed", f"{OPENED} was opened and never closed", "reasoning that ends", text
        )
    found = _objects(answer)
    if not found:
        what = "holds no JSON object that can be read" if answer.strip() else "is empty"
        return _fault("reply.json", f"the answer {what}", "one JSON object", answer)
    given, around = found[0]
    if any(other != given for other, _ in found[1:]):
        return _fault(
            "reply.several",
            f"the answer holds {len(found)} JSON objects that differ",
            "one JSON object",
            answer,
        )
    return ParsedResponse(given, trace, tuple(_tolerated(around, trace, thinks)))


def split_reasoning(text: str) -> tuple[str | None, str | None]:
    """Reasoning and answer of `text`.

    No reasoning: (None, text). Reasoning without an end: (reasoning, None).
    """
    before, closed, after = text.rpartition(CLOSED)
    if closed:
        return before.strip().removeprefix(OPENED).strip(), after
    opened = text.lstrip().startswith(OPENED)
    return (text.lstrip().removeprefix(OPENED), None) if opened else (None, text)


def _tolerated(around: str, trace: str | None, thinks: bool) -> list[str]:
    words = _FENCE.sub("", around).strip()
    told = {
        "reply.fence": "```" in around,
        "reply.chatter": bool(words),
        "reply.trace": bool(trace) and not thinks,
        "reply.no_trace": trace is None and thinks,
    }
    return [rule for rule, holds in told.items() if holds]


def _objects(text: str) -> list[tuple[dict[str, Any], str]]:
    """Every outermost JSON object of `text`, with the text outside of it."""
    whole = _whole(text)
    if whole is not None:
        return [(whole, "")]
    found: list[tuple[dict[str, Any], str]] = []
    at, tried = text.find("{"), 0
    while at >= 0 and tried < limits.REPLY_OBJECTS:
        tried += 1
        end = at + 1
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, ArithmeticError, RecursionError) as error:
            if _torn(error, text) or _BEGUN.match(text, at):
                break  # an object within a broken one is a part of an answer, not an answer
            # else a brace in a sentence; the object may begin at a later one
        else:
            given = _whole(text[at:end])
            if given is None:
                # not one that stands: half a surrogate pair in a string, a number
                # out of range
                break
            found.append((given, text[:at] + text[end:]))
        at = text.find("{", end)
    return found


def _torn(error: Exception, text: str) -> bool:
    """Whether an object has a beginning and the text ends before it does."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def _whole(text: str) -> dict[str, Any] | None:
    """`text` as one object, the fast way that nearly all answers go."""
    try:
        given = exact_json.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _fault(rule: str, message: str, expected: str, text: str) -> Finding:
    return Finding(rule, "", expected, text[: limits.SHOWN_CHARS], message)
