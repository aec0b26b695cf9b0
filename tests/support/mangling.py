"""Wrong answers of models: each way is a small change of a correct answer, drawn from a seeded
generator.
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


def split_json(text: str) -> tuple[str, dict[str, Any]]:
    """Return the text before the JSON, and the JSON."""
    before, closed, after = text.rpartition("</think>")
    return before + closed, json.loads(after)


def change_digit(text: str, rng: Random) -> str:
    start = len(split_json(text)[0])
    places = [found.start() for found in re.finditer(r"[0-9]", text) if found.start() > start]
    at = rng.choice(places)
    return text[:at] + rng.choice("0123456789") + text[at + 1 :]


def change_word(text: str, rng: Random) -> str:
    found = rng.choice(list(_WORDS.finditer(text)))
    return text[: found.start()] + rng.choice(_OTHER_WORDS) + text[found.end() :]


def _leaves(answer: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        answer.items()
        if isinstance(answer, dict)
        else enumerate(answer)
        if isinstance(answer, list)
        else ()
    )
    inner = [leaf for key, value in items for leaf in _leaves(value, (*path, key))]
    return inner or [path]


def in_a_field(change: Callable[[Any, Any, Random], None]) -> Mangle:
    def mangle(text: str, rng: Random) -> str:
        before, answer = split_json(text)
        path = rng.choice(_leaves(answer))
        holder = answer
        for key in path[:-1]:
            holder = holder[key]
        change(holder, path[-1], rng)
        return before + json.dumps(answer)

    return mangle


def drop(holder: Any, key: Any, _: Random) -> None:
    del holder[key]


def change_type(holder: Any, key: Any, rng: Random) -> None:
    holder[key] = rng.choice([None, "", 0, -1, True, [], {}, "1", 1e300, 10**30, [holder[key]]])


def change_value(holder: Any, key: Any, rng: Random) -> None:
    if isinstance(holder[key], bool):
        holder[key] = not holder[key]
    elif isinstance(holder[key], int | float):
        holder[key] = round(holder[key] + rng.choice([-1, 1, 0.1, -0.5, 100]), 2)
    else:
        holder[key] = rng.choice(_OTHER_WORDS)


def truncate(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))]


def wrap(text: str, rng: Random) -> str:
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


def repeat(text: str, rng: Random) -> str:
    return f"{text}\n{change_digit(text, rng)}"


def break_quotes(text: str, rng: Random) -> str:
    return text.replace('"', "'") if rng.random() < 0.5 else text.replace(",", ", ,", 1)


def make_noise(_: str, rng: Random) -> str:
    return "".join(rng.choice('{}[]",:0123456789abcxyz <>/|\n') for _ in range(rng.randrange(300)))


WAYS: tuple[Mangle, ...] = (
    change_digit,
    change_digit,
    change_word,
    in_a_field(drop),
    in_a_field(change_type),
    in_a_field(change_value),
    in_a_field(change_value),
    truncate,
    wrap,
    repeat,
    break_quotes,
    make_noise,
)


def mangle_answer(text: str, rng: Random) -> str:
    """Return `text` made wrong in one or two ways."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        with suppress(
            ValueError, IndexError, KeyError, TypeError
        ):  # already too broken for that way
            text = rng.choice(WAYS)(text, rng)
    return text
