"""A documented, reversible substitute for a tokenizer; it counts slightly fewer tokens than
`finops_cli.models.token_estimate`.

One token each: a control token, `":"` and `","`, up to six letters with the blank or sign before
them, a digit, up to two signs, and a run of blanks.
"""

from __future__ import annotations

import re

_SIGN = r"(?!<\||</?think>)(?:[^\w\s]|_)"
_TOKEN = re.compile(
    rf'<\|[a-z_]+\|>|</?think>|":"|","|(?:{_SIGN}|[^\S\r\n])?[^\W\d_]{{1,6}}|\d|'
    rf"(?:{_SIGN}){{1,2}}|\s+|.",
    re.DOTALL,
)


def split(text: str) -> list[str]:
    """Split `text` into tokens; joined, they are `text` again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Count the tokens of `text`."""
    return len(split(text))
