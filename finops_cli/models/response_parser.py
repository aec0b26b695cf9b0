"""Find the JSON object in the text of a model: reasoning, fences and surrounding text are put aside
and reported.

Models wrap their answer: `<think> ... </think>` before it, a Markdown fence around it, a sentence
before or after it. None of this changes the answer, so it is only a warning. Text that leaves the
answer open (two different objects, reasoning without an end) is an error.
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
    """The one JSON object of a text, with the text around it."""

    value: dict[str, Any]
    reasoning: str | None
    format_warnings: tuple[str, ...]
    """Rules (`reply.*`) that the text around the object broke."""


def parse_response(text: str, expects_reasoning: bool) -> ParsedResponse | Finding:
    """Parse the object in `text`; return a finding that gives the reason when there is none."""
    reasoning, answer = split_reasoning(text)
    if answer is None:
        return _finding(
            "reply.unterminated_reasoning",
            f"{OPENED} was opened and never closed",
            "reasoning that ends",
            text,
        )
    found = _find_objects(answer)
    if not found:
        fault = "holds no JSON object that can be read" if answer.strip() else "is empty"
        return _finding("reply.json", f"the answer {fault}", "one JSON object", answer)
    value, around = found[0]
    if any(other != value for other, _ in found[1:]):
        return _finding(
            "reply.multiple_objects",
            f"the answer holds {len(found)} JSON objects that differ",
            "one JSON object",
            answer,
        )
    return ParsedResponse(value, reasoning, _warnings(around, reasoning, expects_reasoning))


def split_reasoning(text: str) -> tuple[str | None, str | None]:
    """Split `text` into reasoning and answer.

    Without reasoning: (None, text). With reasoning that does not end: (reasoning, None).
    """
    before, closed, after = text.rpartition(CLOSED)
    if closed:
        return before.strip().removeprefix(OPENED).strip(), after
    opened = text.lstrip().startswith(OPENED)
    return (text.lstrip().removeprefix(OPENED), None) if opened else (None, text)


def _warnings(around: str, reasoning: str | None, expects_reasoning: bool) -> tuple[str, ...]:
    rules = {
        "reply.fence": "```" in around,
        "reply.surrounding_text": bool(_FENCE.sub("", around).strip()),
        "reply.unexpected_reasoning": bool(reasoning) and not expects_reasoning,
        "reply.missing_reasoning": reasoning is None and expects_reasoning,
    }
    return tuple(rule for rule, is_broken in rules.items() if is_broken)


def _find_objects(text: str) -> list[tuple[dict[str, Any], str]]:
    """Find every outermost JSON object of `text`, each with the text outside of it."""
    whole = _decode_object(text)
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
            if _is_cut_off(error, text) or _BEGUN.match(text, at):
                break  # an object within a broken one is a part of an answer, not an answer
            # else a brace in a sentence; the object may begin at a later one
        else:
            value = _decode_object(text[at:end])
            if value is None:
                # not usable: half a surrogate pair in a string, a number out of range
                break
            found.append((value, text[:at] + text[end:]))
        at = text.find("{", end)
    return found


def _is_cut_off(error: Exception, text: str) -> bool:
    """Tell an object that the end of the text cuts off from one that is not JSON."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def _decode_object(text: str) -> dict[str, Any] | None:
    """Decode `text` as one object: the fast path, which fits nearly every answer."""
    try:
        value = exact_json.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _finding(rule: str, message: str, expected: str, text: str) -> Finding:
    return Finding(rule, "", expected, text[: limits.SHOWN_CHARS], message)
