"""Errors of decoders in plain words, without the names of Python's types and libraries."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
"""How msgspec's names of types are written."""
_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_INVALID = re.compile(r"Invalid (?:enum )?value (.+)")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


def describe_decode_error(error: Exception, known_keys: Sequence[str] = ()) -> str:
    """Describe an error of msgspec as a place, the fault, and what is expected there.

    `known_keys` are the keys that the object may have, for a hint at a misspelt one.
    """
    if isinstance(error, UnicodeDecodeError):
        return describe_bad_byte(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error)
    found = _PLACE.search(text)
    place, text = (found[1], text[: found.start()]) if found else ("", text)
    inside = f"{place}." if place else ""
    if wrong := _WRONG_TYPE.fullmatch(text):
        expected, actual = (_name_types(names) for names in wrong.groups())
        return f"{place or 'the value'} is {actual}. Expected {expected}."
    if unknown := _UNKNOWN.fullmatch(text):
        near = get_close_matches(unknown[1], known_keys, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{inside}{unknown[1]} is not a known key{hint}"
    if missing := _MISSING.fullmatch(text):
        return f"{inside}{missing[1]} is missing"
    if invalid := _INVALID.fullmatch(text):
        return f"{place or 'the value'} is {invalid[1]}, which is not one of the accepted words"
    return f"{place}: {text}" if place else text


def describe_bad_byte(error: UnicodeDecodeError) -> str:
    """Name the first byte that is not UTF-8, and its position counted from 0."""
    return f"byte 0x{error.object[error.start]:02X} at {error.start} is not UTF-8"


def describe_size(value: Collection[object]) -> str:
    """Describe an object or a list by its size."""
    size = len(value)
    if isinstance(value, Mapping):
        return f"an object with {_count(size, 'field')}" if size else "an empty object"
    return f"a list with {_count(size, 'entry', 'entries')}" if size else "an empty list"


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _name_types(names: str) -> str:
    return " or ".join(_TYPES.get(name, name) for name in names.split(" | "))
