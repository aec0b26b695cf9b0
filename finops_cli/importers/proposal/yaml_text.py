"""Write a mapping as YAML that `read_mapping` reads back as the same mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

_WIDTH = 96
_PLAIN = re.compile(r"[A-Za-z_][\w./%()*+$&-]*(?: [\w./%()*+$&-]+)*", re.ASCII)
_NOT_TEXT = {"y", "n", "yes", "no", "true", "false", "on", "off", "null", "none"}
"""Words that other readers of YAML take for something else than text."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_BYTE, _SHORT = 0x100, 0x10000


def scalar(text: str) -> str:
    """Write a text as a scalar, in quotes where YAML needs them."""
    is_plain = _PLAIN.fullmatch(text) and text.casefold() not in _NOT_TEXT
    return text if is_plain else f'"{escape(text)}"'


def escape(text: str) -> str:
    """Escape the characters that a YAML file, or one line of it, cannot hold."""
    return "".join(_ESCAPES.get(sign) or _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    if sign.isprintable():
        return sign
    code = ord(sign)
    if code < _BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _SHORT else f"\\U{code:08x}"


def flow(value: Any) -> str:
    """Write texts, lists and objects of texts in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, str):
        return scalar(value)
    return "[" + ", ".join(map(flow, value)) + "]"


def comment(text: str, indent: str = "") -> list[str]:
    """Write a text as lines of comment."""
    return [f"{indent}# {line}" for line in _wrap(escape_line(text), _WIDTH - len(indent))]


def _wrap(text: str, width: int) -> list[str]:
    """Break a text between words; further lines are indented as its first one."""
    indent = text[: len(text) - len(text.lstrip(" "))] + ("  " if text.startswith(" ") else "")
    return wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def escape_line(text: str) -> str:
    """Return a text as one line that a comment can hold."""
    return "".join(_escape(sign) for sign in text)


def entry(name: str, value: Any, indent: str = "") -> list[str]:
    """Write `name: value`, a list of objects with a line for each."""
    if isinstance(value, Mapping) and set(value) == {"when"}:
        lines = [f"{indent}{scalar(name)}:", f"{indent}  when:"]
        return lines + [f"{indent}    - {flow(rule)}" for rule in value["when"]]
    if isinstance(value, Mapping) and set(value) == {"column"}:
        value = value["column"]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [f"{indent}{scalar(name)}:", *(f"{indent}  - {flow(each)}" for each in value)]
    return [f"{indent}{scalar(name)}: {flow(value)}"]
