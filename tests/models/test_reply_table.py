"""Truth table of replies: the object that is the answer, or the rule of the finding."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from finops_cli.domain.finding import Finding
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.response_parser import parse_response

R = '{"tier": "CRITICAL", "score": 83.2, "parts": {"age": 20}}'
W = '{"tier": "LOW", "score": 12.0, "parts": {"age": 1}}'
VALUES = {
    "right": {"tier": "CRITICAL", "score": Decimal("83.2"), "parts": {"age": 20}},
    "wrong": {"tier": "LOW", "score": Decimal("12.0"), "parts": {"age": 1}},
}
JSON, SEVERAL = "reply.json", "reply.multiple_objects"
OPEN, TWICE = "reply.unterminated_reasoning", "reply.repeated_field"
FIRST_TURN = [
    (f"{W}<|im_end|>\n<|im_start|>assistant\n<think></think>{R}", "wrong"),
    (f"{R}<|im_end|>\n<|im_start|>assistant\n<think></think>{W}", "right"),
    (f"{W}<|endoftext|>{R}", "wrong"),
    (f"{W}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{R}", "wrong"),
    (f"{W}</s>{R}", "wrong"),
    (f"{W}<end_of_turn>\n<start_of_turn>model\n{R}", "wrong"),
    (f"{W}<|end|><|assistant|>{R}", "wrong"),
    (f"{W}<|end_of_text|>{R}", "wrong"),
    (f"{W}[INST] again [/INST]{R}", "wrong"),
    (f"{W}<\uff5cend▁of▁sentence\uff5c>{R}", "wrong"),
    (f"{W}<|return|>{R}", "wrong"),
    (f"{W}<|END_OF_TURN_TOKEN|>{R}", "wrong"),
    (f"{W}<|IM_END|>{R}", "wrong"),
    (f"{W}<eos>{R}", "wrong"),
    (f"{W}<s>{R}", "wrong"),
    (f"{W}<|im_start|>{R}", "wrong"),
    (f"{W}<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n{R}", "wrong"),
    (f"Well: {W}<|im_end|>{R}", "wrong"),
    (f"```json\n{W}\n```<|im_end|>\n```json\n{R}\n```", "wrong"),
    (f"<think>{R}</think>{W}<|im_end|>{R}", "wrong"),
    (f"{R}<|im_end|>", "right"),
    (f"{R}<|im_end|><|endoftext|>", "right"),
    (f"{R}</s></s></s>", "right"),
    (f"<|im_start|>assistant\n{R}<|im_end|>", "right"),
    (f"<|start_header_id|>assistant<|end_header_id|>\n\n{R}<|eot_id|>", "right"),
    (f"<s>{R}</s>", "right"),
    (f"<bos><start_of_turn>model\n{R}", "right"),
    (f"<|im_end|>{R}", JSON),
    (f"<|im_start|>user\n{R}", JSON),
    (f"I cannot say.<|im_end|>{R}", JSON),
    (f"<think>hm<|im_end|></think>{R}", OPEN),
    (f"{R[:30]}<|im_end|>{R[30:]}", JSON),
    (f"{R[:30]}</s>{R}", JSON),
    (R.replace("CRITICAL", "CRITICAL<|im_end|>"), JSON),
    (R.replace("CRITICAL", "CRITICAL\\u003c|im_end|>"), JSON),
]
REASONING = [
    (f"<think>{W}</think>{R}", "right"),
    (f"<think>{R}</think>{W}", "wrong"),
    (f"<THINK>{W}</Think>{R}", "right"),
    (f" \n<think>{W}</think>{R}", "right"),
    (f"I draft a plan.</think>{R}", "right"),
    (f"<think>a </think> quoted</think>{R}", "right"),
    (f"{W}<think></think>{R}", SEVERAL),
    (f"{R}<think></think>{W}", SEVERAL),
    (f"{W}</think>{R}", SEVERAL),
    (f"Draft: {W}</think>{R}", SEVERAL),
    (f"<think>a</think>{W}</think>{R}", SEVERAL),
    (f"<think>a</think>{W}<think>b</think>{R}", SEVERAL),
    (f"{R}<think></think>{R}", "right"),
    (f"{R}<think>{W}</think>", "right"),
    (f"{W}<think>{R}</think>", "wrong"),
    (f"{W}<think>no, {R}", SEVERAL),
    (f"{R}<think>I checked it", "right"),
    (f"{R}</think>", "right"),
    (f"<think>{R}", OPEN),
    (f"<think><think>{R}", OPEN),
    (f"<think>a<think>b</think>{R}", "right"),
    (f"<think>a<think>b</think>{W}</think>{R}", SEVERAL),
    ("<think>all of it</think>", JSON),
    (R.replace("CRITICAL", "</think>"), {**VALUES["right"], "tier": "</think>"}),
]
BROKEN = [
    (f'{{“answer”: {R}, "n": 1}}', JSON),
    (f"{{“answer”: {R}}}", JSON),
    (f"{{answer: {R}}}", JSON),
    (f"{{'answer': {R}}}", JSON),
    (f'{{"answer": {R},}}', JSON),
    (f'{{// final\n"answer": {R}}}', JSON),
    (f'{{/* final */ "answer": {R}}}', JSON),
    (f'{{# final\n"answer": {R}}}', JSON),
    (f'{{"n": 1 "answer": {R}}}', JSON),
    (f'{{"n": NaN, "answer": {R}}}', JSON),
    (f'{{"n": 01, "answer": {R}}}', JSON),
    (f'{{"n": True, "answer": {R}}}', JSON),
    (f'{{"n": "a\nb", "answer": {R}}}', JSON),
    (f"{{{R}}}", JSON),
    (f"{{ {R}", JSON),
    (f'{{"answer": {R}', JSON),
    (f'1.5, "answer": {R}, "n": 2}}', JSON),
    (f'"answer": {R}}}', JSON),
    (R.replace('"', "“"), JSON),
    (R.replace('"', "'"), JSON),
    (R.replace('"', '\\"'), JSON),
    (R.replace("}}", ",}}"), JSON),
    (f"{{tier: LOW}}\n{R}", JSON),
    (f"{W[:-1]}\n{R}", JSON),
    (f"{W.replace(':', '=')}\n{R}", JSON),
    (f"{R}\n{W[:20]}", SEVERAL),
    (f"{R}\n{W.replace(chr(34), chr(39))}", SEVERAL),
    (R.replace("{", "{\ufeff", 1), JSON),
    (R.replace("{", "\uff5b").replace("}", "\uff5d"), JSON),
    (R.replace(" ", "\u00a0"), JSON),
    ("\0".join(R), JSON),
    (W.replace("{", "\uff5b").replace("}", "\uff5d") + R, JSON),
    (R + W.replace("{", "\uff5b").replace("}", "\uff5d"), SEVERAL),
    (W.replace('"', "&quot;") + R, JSON),
    (json.dumps(W) + R, JSON),
    (R.replace("CRITICAL", "\\ud83d"), JSON),
    (R.replace('"score"', '"tier": "LOW", "score"'), TWICE),
    (R.replace('{"age"', '{"age": 1, "age"'), TWICE),
    (R.replace('"score"', '"tier": "CRITICAL", "score"'), "right"),
]
HARMLESS = [
    (f"\ufeff{R}", "right"),
    (f"{R}\n\n\n", "right"),
    (f"Here is the {{one}} answer: {R}", "right"),
    (f"The set {{a, b}} is {R}", "right"),
    (f"{R} as {{asked: today}}", "right"),
    (f"{R} {{", "right"),
    (f"{R}}}", "right"),
    (f"[{R}]", "right"),
    (f"**Answer**\n\n```json\n{R}\n```\n", "right"),
    (f'The "answer": {R}', "right"),
    (f"{R} or {R}", "right"),
    (f"{R} or {W}", SEVERAL),
    (f"[{R}, {W}]", SEVERAL),
    (f"{{}} {R}", SEVERAL),
    (f"{'{x} ' * 500}{R}", "right"),
    (f"{R}{'{x} ' * 500}{W}", SEVERAL),
]


@pytest.mark.parametrize(("text", "reading"), [*FIRST_TURN, *REASONING, *BROKEN, *HARMLESS])
def test_reply_of_the_table_has_its_reading(text: str, reading: object, kb: KnowledgeBase) -> None:
    """The first turn is the answer, objects outside of reasoning count, and no part of a broken
    object is taken.
    """
    found = parse_response(text, kb.models)
    if isinstance(found, Finding):
        assert found.rule == reading
    else:
        assert found.value == (VALUES[reading] if isinstance(reading, str) else reading)


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (R, ()),
        (f"{R}<|im_end|>", ("reply.turn_token",)),
        (f"<|im_start|>assistant\n{R}", ("reply.turn_token",)),
        (f"Sure: {R}</s>{W}", ("reply.surrounding_text", "reply.turn_token")),
        (f"{R}<think>{W}</think>", ("reply.surrounding_text",)),
    ],
)
def test_reply_with_turn_tokens_has_a_warning(
    text: str, warnings: tuple[str, ...], kb: KnowledgeBase
) -> None:
    """A token of a chat template gives a warning, and the text behind it gives no other."""
    found = parse_response(text, kb.models)
    assert not isinstance(found, Finding)
    assert found.format_warnings == warnings


@pytest.mark.parametrize(
    "text",
    ["{" * 400_000, "<think>" * 60_000, "{}<think>" * 50_000, '{"a":' * 80_000, "<" * 400_000],
)
def test_hostile_reply_is_refused(text: str, kb: KnowledgeBase) -> None:
    """A text of the greatest length with one mark repeated ends in a result, not in an error."""
    assert parse_response(text, kb.models)
