"""Find the JSON object in the text of a model.

Models often put other text around the answer: `<think> ... </think>` before it, a Markdown fence
around it, a sentence before or after it. This text does not change the answer, so it only gives a
warning. Text with an ambiguous answer (two different objects, a broken object, reasoning without
an end) is an error. Only the first turn is read (`models.first_turn`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from decimal import Decimal
from typing import Any, NamedTuple

from finops_cli.domain import exact_json, limits
from finops_cli.domain.finding import Finding
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.models.first_turn import first_turn, has_turn_token

OPENED, CLOSED = "<think>", "</think>"
_MARK = re.compile(r"[{\uff5b]|</?think>", re.IGNORECASE)
"""Braces, also full-width ones, with which a broken object may begin, and tags of reasoning."""
_CLOSE = re.compile(CLOSED, re.IGNORECASE)
_OPEN_FIRST = re.compile(rf"\s*{OPENED}", re.IGNORECASE)
_FENCE = re.compile(r"```[A-Za-z0-9]*")
_GROUP = re.compile(r"[{\uff5b]([^{}\uff5b\uff5d]*)([}\uff5d]|\Z)?")
"""A brace up to the next one, or to the end of the text."""
_OF_AN_OBJECT = re.compile(r"[\":=“”„«»\uff1a]")
"""A character that objects contain, also broken ones, and braces of a sentence do not."""
_KEY_BEFORE = re.compile(r"[\"'“”]\s*:\s*\Z")
_GOES_ON = re.compile(r"\s*[,}]")


class ParsedResponse(NamedTuple):
    """The one JSON object of a text, with the text around it."""

    value: dict[str, Any]
    reasoning: str | None
    format_warnings: tuple[str, ...]
    """Rules (`reply.*`) that the text around the object broke."""


def parse_response(
    text: str, settings: ModelSettings, expects_reasoning: bool | None = None
) -> ParsedResponse | Finding:
    """Parse the JSON object in the first turn of `text`.

    Without one clear object, return a finding with the reason. `expects_reasoning` says if the
    model must reason before the object. With None, no warning is about reasoning.
    """
    turn = first_turn(text, settings)
    found = _find_objects(turn.text)
    if isinstance(found, _Fault):
        rest = "; the text behind the first turn is not read" if turn.has_tokens else ""
        return _finding(found.rule, found.message + rest, found.expected, turn.text)
    first = found[0]
    if any(other.value != first.value for other in found[1:]):
        message = f"the answer has {len(found)} different JSON objects"
        return _finding("reply.multiple_objects", message, "one JSON object", turn.text)
    if "\\" in turn.text and has_turn_token(exact_json.encode(first.value).decode(), settings):
        message = "the answer has a token of a chat template in a text"
        return _finding("reply.json", message, "one JSON object", turn.text)
    reasoning, before = split_reasoning(turn.text[: first.start])
    around = f"{before or ''}{turn.text[first.end :]}"
    warnings = _warnings(around, reasoning, expects_reasoning)
    return ParsedResponse(
        first.value, reasoning, (*warnings, "reply.turn_token") if turn.has_tokens else warnings
    )


def find_reasoning(text: str, settings: ModelSettings) -> str | None:
    """Return the reasoning in the first turn of a text without a usable answer."""
    return split_reasoning(first_turn(text, settings).text)[0]


def split_reasoning(text: str) -> tuple[str | None, str | None]:
    """Split `text` into reasoning and answer.

    Without reasoning: (None, text). With reasoning that does not end: (reasoning, None).
    """
    opening = _OPEN_FIRST.match(text)
    begin = opening.end() if opening else 0
    closings = list(_CLOSE.finditer(text))
    if closings:
        last = closings[-1]
        return text[begin : last.start()].strip(), text[last.end() :]
    return (text[begin:], None) if opening else (None, text)


class _Object(NamedTuple):
    """A whole JSON object and its place in the text."""

    value: dict[str, Any]
    start: int
    end: int


class _Fault(NamedTuple):
    """The reason why a text has no clear answer."""

    rule: str
    message: str
    expected: str = "one JSON object"


_UNTERMINATED = _Fault(
    "reply.unterminated_reasoning", f"{OPENED} is opened but not closed", "reasoning that ends"
)
_BROKEN = _Fault("reply.json", "the answer has no readable JSON object")
_REPEATED = _Fault(
    "reply.repeated_field",
    "the answer gives a field twice with different values",
    "each field once",
)
_SECOND = _Fault(
    "reply.multiple_objects", "the answer has a whole JSON object and a part of another"
)


def _find_objects(text: str) -> list[_Object] | _Fault:
    """Find every whole JSON object that is not in reasoning and not within another one.

    The first broken object ends the search: what follows may be a part of it.
    """
    found: list[_Object] = []
    closings = [closing.end() for closing in _CLOSE.finditer(text)]
    at = 0
    while mark := _MARK.search(text, at):
        if mark.group() in "{\uff5b":
            next_object = _read_object(text, mark.start(), found)
            if isinstance(next_object, _Fault):
                return next_object
            if isinstance(next_object, _Object):
                found.append(next_object)
                at = next_object.end
            else:
                at = next_object
        elif mark.group().casefold() == CLOSED:
            at = mark.end()
        else:
            later = bisect(closings, mark.end())
            if later == len(closings) and not found:
                return _UNTERMINATED
            # opened late and never closed: what follows may be an answer, so it is read
            at = closings[later] if later < len(closings) else mark.end()
    if found:
        return found
    return _BROKEN if text.strip() else _Fault("reply.json", "the answer is empty")


def _read_object(text: str, at: int, found: list[_Object]) -> _Object | _Fault | int:
    """Read the object that begins at `at`.

    Return the place to go on for braces of a sentence, and a fault for a broken object, or for a
    part of one.
    """
    try:
        end = _find_end(text, at)
    except _RepeatedField:
        return _REPEATED
    except (ValueError, ArithmeticError, RecursionError):
        return _skip_braces(text, at, found)
    if _KEY_BEFORE.search(text, max(0, at - _KEY_CHARS), at) and _GOES_ON.match(text, end):
        return _BROKEN  # a field of an object whose beginning is missing
    value = _decode_object(text[at:end])
    # None: half a surrogate pair in a string, a number out of range
    return _BROKEN if value is None else _Object(value, at, end)


def _find_end(text: str, at: int) -> int:
    """Return the end of the object that begins at `at`.

    Raises ValueError, ArithmeticError or RecursionError for something else, and _RepeatedField.
    """
    part = text[at : at + _FIRST_CHARS]
    try:
        return at + _DECODER.raw_decode(part)[1]
    except json.JSONDecodeError as error:
        is_whole = at + _FIRST_CHARS >= len(text)
        is_before_the_end = error.pos < len(part) - _LONGEST_WORD
        if is_whole or (is_before_the_end and not error.msg.startswith("Unterminated string")):
            raise
    return _DECODER.raw_decode(text, at)[1]


def _skip_braces(text: str, at: int, found: list[_Object]) -> int | _Fault:
    """Return the end of braces that belong to a sentence, such as `{this}`.

    Braces of a broken object are a fault. After a whole object, braces with other words than its
    fields are a sentence about it.
    """
    group = _GROUP.match(text, at)
    inside, closing = group.groups() if group else ("", None)
    if closing is not None:
        is_object = _OF_AN_OBJECT.search(inside) is not None
        if not is_object or (found and not any(key in inside for key in found[0].value)):
            return at + len(inside) + len(closing) + 1
    return _SECOND if found else _BROKEN


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


def _decode_object(text: str) -> dict[str, Any] | None:
    """Decode the whole `text` as one object with exact numbers; None if it cannot be used."""
    try:
        value = exact_json.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _RepeatedField(ValueError):
    """An object gives a field twice with different values."""


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs) and any(
        type(fields[key]) is not type(value) or fields[key] != value for key, value in pairs
    ):
        raise _RepeatedField
    return fields


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_KEY_CHARS = 80
"""The text before an object in which the key of the field is looked for that holds it."""
_FIRST_CHARS = 2_048
"""The part of a text in which an object is read first. A fault costs the time of the part, because
its line is counted; many faults in a long text would take the square of its length.
"""
_LONGEST_WORD = 16
"""More than `-Infinity`, which may be cut at the end of a part."""
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats, parse_float=Decimal
)


def _finding(rule: str, message: str, expected: str, text: str) -> Finding:
    return Finding(
        rule=rule, path="", expected=expected, actual=text[: limits.SHOWN_CHARS], message=message
    )
