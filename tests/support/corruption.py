"""Corrupted answers of models: a right answer in other surroundings, beside a wrong one, broken,
or in another encoding. Each is drawn from a seeded generator.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, Literal, NamedTuple

from tests.support.mangling import split_json

ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<|end|>", "<eos>")
NEXT_TURNS = ("", "\n<|im_start|>assistant\n", "\n<|im_start|>user\nAgain.<|im_end|>\n", "\n\n")
Reading = Literal["right", "not right", "any"]


class Corrupted(NamedTuple):
    """A text and how it must be read. `not right`: its answer is wrong, or there is none."""

    text: str
    reading: Reading


def harmless(right: str, _: str, rng: Random) -> Corrupted:
    """Put text around a right answer that does not change it."""
    reasoning, answer = split_json(right)
    body = json.dumps(answer, indent=rng.choice([None, 1, 4]))
    form = rng.choice(
        [
            "{}",
            "\ufeff{}",
            "```json\n{}\n```",
            "Sure, {{here}} it is:\n{}",
            "{}\nAnything else?",
            "{0} and again {0}",
            "<|im_start|>assistant\n{}",
            "[{}]",
        ]
    )
    text = form.replace("{{", "(").replace("}}", ")").replace("{0}", body).replace("{}", body)
    end = rng.choice(["", rng.choice(ENDS), rng.choice(ENDS) + "<|im_start|>user\n{no} {json"])
    if form.startswith("<|im"):
        return Corrupted(text + end, "right")
    return Corrupted(reasoning + text + end, "right")


def wrong_turn_first(right: str, wrong: str, rng: Random) -> Corrupted:
    """Let a right answer follow in a later turn."""
    return Corrupted(wrong + rng.choice(ENDS) + rng.choice(NEXT_TURNS) + right, "not right")


def right_turn_first(right: str, wrong: str, rng: Random) -> Corrupted:
    """Let a wrong answer follow in a later turn."""
    return Corrupted(right + rng.choice(ENDS) + rng.choice(NEXT_TURNS) + wrong, "right")


def thinking_again(right: str, wrong: str, rng: Random) -> Corrupted:
    """Let the reasoning open again behind an answer, and another answer follow."""
    first, second = rng.sample([right, wrong], 2)
    answer = json.dumps(split_json(second)[1])
    opening = rng.choice(["<think>", "<think>no, wait", f"<think>{wrong}", "no, wait"])
    return Corrupted(f"{first}{opening}</think>{answer}", "not right")


def nested(right: str, _: str, rng: Random) -> Corrupted:
    """Put a right answer into an object, whole or broken."""
    body = json.dumps(split_json(right)[1])
    forms = (
        '{"answer": @}',
        '{"answer": @,}',
        "{answer: @}",
        "{“answer”: @}",
        "{'n': 1, 'answer': @}",
        '{// final\n"answer": @}',
        '{"n": NaN, "answer": @}',
        "{@}",
        '1, "answer": @, "n": 2}',
    )
    return Corrupted(rng.choice(forms).replace("@", body), "not right")


def token_anywhere(right: str, _: str, rng: Random) -> Corrupted:
    """Put the end of a turn at a random place of a right answer."""
    at = rng.randrange(len(right))
    return Corrupted(right[:at] + rng.choice(ENDS) + right[at:], "not right")


def cut(right: str, _: str, rng: Random) -> Corrupted:
    """Cut a right answer at its end, and repeat it whole or not at all."""
    cut_text = right[: rng.randrange(len(right))]
    return Corrupted(cut_text + rng.choice(["", right]), "any")


def two_answers(right: str, wrong: str, rng: Random) -> Corrupted:
    """Give a right and a wrong answer in one turn."""
    first, second = rng.sample([right, json.dumps(split_json(wrong)[1])], 2)
    return Corrupted(f"{first}\n{second}", "any" if "<think>" in second else "not right")


def reordered(right: str, _: str, rng: Random) -> Corrupted:
    """Give the fields of a right answer in another order."""
    reasoning, answer = split_json(right)
    fields = list(answer.items())
    rng.shuffle(fields)
    return Corrupted(reasoning + json.dumps(dict(fields)), "right")


def repeated_field(right: str, wrong: str, _: Random) -> Corrupted:
    """Give every field twice, first with the wrong value."""
    fields = [
        f"{json.dumps(key)}: {json.dumps(value)}"
        for answer in (split_json(wrong)[1], split_json(right)[1])
        for key, value in answer.items()
    ]
    return Corrupted("{" + ", ".join(fields) + "}", "not right")


def encoded(right: str, _: str, rng: Random) -> Corrupted:
    """Read a right answer in an encoding that is not its own."""
    texts: tuple[Callable[[str], str], ...] = (
        lambda text: text.encode("utf-16-le").decode("latin-1"),
        lambda text: text.encode("utf-16").decode("utf-8", "replace"),
        lambda text: text.replace('"', "”"),
        lambda text: text.replace('"', "'"),
        lambda text: text.replace(" ", "\u00a0"),
        json.dumps,
        lambda text: text.replace("{", "\uff5b"),
        lambda text: text.replace("{", "{{").replace("}", "}}"),
    )
    return Corrupted(rng.choice(texts)(json.dumps(split_json(right)[1])), "not right")


WAYS = (
    harmless,
    harmless,
    wrong_turn_first,
    right_turn_first,
    thinking_again,
    nested,
    token_anywhere,
    cut,
    two_answers,
    reordered,
    repeated_field,
    encoded,
)


def corrupt_answer(right: str, rng: Random) -> Corrupted:
    """Return `right` corrupted in one way, beside a wrong answer where the way needs one."""
    reasoning, answer = split_json(right)
    wrong = reasoning + json.dumps(_make_wrong(answer))
    return rng.choice(WAYS)(right, wrong, rng)


def _make_wrong(value: Any) -> Any:
    """Change every number and every truth value, so that the rules contradict the answer."""
    if isinstance(value, dict):
        return {key: _make_wrong(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_make_wrong(inner) for inner in value]
    if isinstance(value, bool):
        return not value
    return value + 7 if isinstance(value, int | float) else value
