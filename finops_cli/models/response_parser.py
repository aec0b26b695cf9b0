"""Find the JSON object in the text of a model.

Models often put other text around the answer: `<think> ... </think>` before it, a Markdown fence
around it, a sentence before or after it. This text does not change the answer, so it only gives a
warning. Text with an ambiguous answer (two different objects, reasoning without an end) is an
error.
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


def parse_response(text: str, expects_reasoning: bool | None = None) -> ParsedResponse | Finding:
    """Parse the JSON object in `text`. Without an object, return a finding with the reason.

    `expects_reasoning` says if the model must reason before the object. With None, no warning is
    about reasoning.
    """
    reasoning, answer = split_reasoning(text)
    if answer is None:
        return _finding(
            "reply.unterminated_reasoning",
            f"{OPENED} is opened but not closed",
            "reasoning that ends",
            text,
        )
    found = _find_objects(answer)
    if not found:
        fault = "has no readable JSON object" if answer.strip() else "is empty"
        return _finding("reply.json", f"the answer {fault}", "one JSON object", answer)
    value, around = found[0]
    if any(other != value for other, _ in found[1:]):
        return _finding(
            "reply.multiple_objects",
            f"the answer has {len(found)} different JSON objects",
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


def _warnings(
    around: str, reasoning: str | None, expects_reasoning: bool | None
) -> tuple[str, ...]:
    rules = {
        "reply.fence": "```" in around,
        "reply.surrounding_text": bool(_FENCE.sub("", around).strip()),
        "reply.unexpected_reasoning": bool(reasoning) and expects_reasoning is False,
        "reply.missing_reasoning": reasoning is None and expects_reasoning is True,
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
                break  # an object inside a broken one is only a part of an answer
            # else the brace is part of a sentence; the object may begin later
        else:
            value = _decode_object(text[at:end])
            if value is None:
                # not usable: half a surrogate pair in a string, a number out of range
                break
            found.append((value, text[:at] + text[end:]))
        at = text.find("{", end)
    return found


def _is_cut_off(error: Exception, text: str) -> bool:
    """Return true if the end of the text cuts the object off, and false if it is not JSON."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def _decode_object(text: str) -> dict[str, Any] | None:
    """Decode the whole `text` as one object. Nearly every answer takes this fast path."""
    try:
        value = exact_json.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _finding(rule: str, message: str, expected: str, text: str) -> Finding:
    return Finding(
        rule=rule, path="", expected=expected, actual=text[: limits.SHOWN_CHARS], message=message
    )
