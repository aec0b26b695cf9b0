"""Model answers as they go wrong: each way a small change of a right answer's text, drawn from a
seeded generator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

Mangle = Callable[[str, Random], str]
_WORDS = re.compile(r"(?<=\")[A-Z][A-Z_0-9]{2,}(?=\")")
_OTHER_WORDS = (
    "CRITICAL",
    "LOW",
    "ESCALATE",
    "DVP_FAIL",
    "FTR",
    "L4",
    "NONE",
    "CHASE_FTR",
    "URGENT",
    "SOURCE_BORROW",
)


def _json_part(text: str) -> tuple[str, dict[str, Any]]:
    """What stands before the JSON, and the JSON."""
    before, closed, after = text.rpartition("</think>")
    return before + closed, json.loads(after)


def _a_digit(text: str, rng: Random) -> str:
    start = len(_json_part(text)[0])
    places = [found.start() for found in re.finditer(r"[0-9]", text) if found.start() > start]
    at = rng.choice(places)
    return text[:at] + rng.choice("0123456789") + text[at + 1 :]


def _a_word(text: str, rng: Random) -> str:
    found = rng.choice(list(_WORDS.finditer(text)))
    return text[: found.start()] + rng.choice(_OTHER_WORDS) + text[found.end() :]


def _leaves(given: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        given.items()
        if isinstance(given, dict)
        else enumerate(given)
        if isinstance(given, list)
        else ()
    )
    inner = [leaf for key, value in items for leaf in _leaves(value, (*path, key))]
    return inner or [path]


def _a_field(change: Callable[[Any, Any, Random], None]) -> Mangle:
    def mangle(text: str, rng: Random) -> str:
        before, given = _json_part(text)
        path = rng.choice(_leaves(given))
        holder = given
        for key in path[:-1]:
            holder = holder[key]
        change(holder, path[-1], rng)
        return before + json.dumps(given)

    return mangle


def _dropped(holder: Any, key: Any, _: Random) -> None:
    del holder[key]


def _of_another_type(holder: Any, key: Any, rng: Random) -> None:
    holder[key] = rng.choice([None, "", 0, -1, True, [], {}, "1", 1e300, 10**30, [holder[key]]])


def _a_little_more(holder: Any, key: Any, rng: Random) -> None:
    if isinstance(holder[key], bool):
        holder[key] = not holder[key]
    elif isinstance(holder[key], int | float):
        holder[key] = round(holder[key] + rng.choice([-1, 1, 0.1, -0.5, 100]), 2)
    else:
        holder[key] = rng.choice(_OTHER_WORDS)


def _cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))]


def _wrapped(text: str, rng: Random) -> str:
    return rng.choice(
        [
            "```json\n{}\n```",
            "Sure: {}",
            "{}\nAnything else?",
            "{0}\n{0}",
            "{}<|im_end|>",
            "<think>{}",
        ]
    ).replace("{}", text)


def _said_twice(text: str, rng: Random) -> str:
    return f"{text}\n{_a_digit(text, rng)}"


def _unquoted(text: str, rng: Random) -> str:
    return text.replace('"', "'") if rng.random() < 0.5 else text.replace(",", ", ,", 1)


def _noise(_: str, rng: Random) -> str:
    return "".join(rng.choice('{}[]",:0123456789abcxyz <>/|\n') for _ in range(rng.randrange(300)))


WAYS: tuple[Mangle, ...] = (
    _a_digit,
    _a_digit,
    _a_word,
    _a_field(_dropped),
    _a_field(_of_another_type),
    _a_field(_a_little_more),
    _a_field(_a_little_more),
    _cut,
    _wrapped,
    _said_twice,
    _unquoted,
    _noise,
)


def mangled(text: str, rng: Random) -> str:
    """`text`, wrong in one or two ways."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        with suppress(
            ValueError, IndexError, KeyError, TypeError
        ):  # already too broken for that way
            text = rng.choice(WAYS)(text, rng)
    return text
