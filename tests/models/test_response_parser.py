"""The response parser: what gives only a warning, and what makes an answer unreadable."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain.finding import Finding
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.response_parser import ParsedResponse, parse_response, split_reasoning

OBJECT = '{"a": 1.10, "b": {"c": "}"}}'
SETTINGS = load_kb(bundled_kb_dir()).models
GIVEN = {"a": Decimal("1.10"), "b": {"c": "}"}}


@pytest.mark.parametrize(
    ("text", "expects_reasoning", "warnings"),
    [
        (OBJECT, False, ()),
        (f"  {OBJECT}\n", False, ()),
        (f"<think>\nx {{y}}\n</think>\n\n{OBJECT}", True, ()),
        (f"x\n</think>\n{OBJECT}", True, ()),
        (f"```json\n{OBJECT}\n```", False, ("reply.fence",)),
        (f"```\n{OBJECT}\n```", False, ("reply.fence",)),
        (f"Here it is: {OBJECT}", False, ("reply.surrounding_text",)),
        (f"{OBJECT}\nI hope {{this}} helps.", False, ("reply.surrounding_text",)),
        (f"Sure!\n```json\n{OBJECT}\n```\nDone.", False, ("reply.fence", "reply.surrounding_text")),
        (f"<think>x</think>{OBJECT}", False, ("reply.unexpected_reasoning",)),
        (f"<think>\n\n</think>\n\n{OBJECT}", False, ()),
        (OBJECT, True, ("reply.missing_reasoning",)),
        (f"{OBJECT}\n{OBJECT}", False, ("reply.surrounding_text",)),
    ],
)
def test_response_with_text_around_json_gives_warnings(
    text: str, expects_reasoning: bool, warnings: tuple[str, ...], kb: KnowledgeBase
) -> None:
    """Reasoning, fences, sentences and a repeated object around an answer are removed and reported
    as warnings. Numbers stay exact.
    """
    found = parse_response(text, kb.models, expects_reasoning)
    assert isinstance(found, ParsedResponse)
    assert (found.value, found.format_warnings) == (GIVEN, warnings)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "reply.json"),
        ("I cannot answer.", "reply.json"),
        (OBJECT[:-1], "reply.json"),
        ("[1, 2]", "reply.json"),
        ('{"a": NaN}', "reply.json"),
        ("{'a': 1}", "reply.json"),
        ('{"a": 1e999999999999999999999}', "reply.json"),
        ('{"a":' * 5000, "reply.json"),
        ("{" * 100_000, "reply.json"),
        (f"<think>{OBJECT}", "reply.unterminated_reasoning"),
        (f"{OBJECT} or {OBJECT.replace('1.10', '1.11')}", "reply.multiple_objects"),
    ],
)
def test_response_without_one_clear_object_is_a_finding(
    text: str, rule: str, kb: KnowledgeBase
) -> None:
    """A response without an object, with an incomplete one or with two different ones is a
    finding.
    """
    found = parse_response(text, kb.models, expects_reasoning=True)
    assert isinstance(found, Finding)
    assert found.rule == rule


@given(
    st.dictionaries(
        st.text(max_size=5), st.integers() | st.text(max_size=9) | st.booleans(), max_size=5
    ),
    st.text(max_size=40),
)
def test_response_object_is_found_between_any_words(given: dict[str, Any], words: str) -> None:
    """Words without braces and think tags neither hide nor change the object between them."""
    for character in '{<["':
        words = words.replace(character, "(")
    text = f"{words}\n{json.dumps(given)}\n{words}"
    found = parse_response(text, SETTINGS, expects_reasoning=False)
    assert isinstance(found, ParsedResponse)
    assert found.value == given


def test_reasoning_ends_at_the_last_closing_tag() -> None:
    """Reasoning ends at the last closing tag, so a quoted tag does not cut it."""
    assert split_reasoning("<think>say </think> then</think>{}") == ("say </think> then", "{}")
    assert split_reasoning("{}") == (None, "{}")
    assert split_reasoning("<think>on and on") == ("on and on", None)


@pytest.mark.parametrize("braces", ["{x}", '{"k"}', '{"k":x}\n', '{"k\uff5d', "{ }{x}"])
def test_fault_is_not_looked_for_in_the_whole_text(braces: str, kb: KnowledgeBase) -> None:
    """Braces that hold no object cost the time of a short part of the text, however many there are:
    an error of the decoder counts the lines of the text that it was given.
    """
    longest = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal longest
        if frame.f_code is json.JSONDecodeError.__init__.__code__:
            longest = max(longest, len(frame.f_locals["doc"]))

    sys.setprofile(note)
    try:
        parse_response(OBJECT + braces * 3_000, kb.models)
    finally:
        sys.setprofile(None)
    assert 0 < longest < 3_000


@pytest.mark.parametrize("end", [2_048, 2_049])
def test_object_of_any_length_is_read(end: int, kb: KnowledgeBase) -> None:
    """An object that is longer than the part that is read first is found whole, whatever stands
    where that part ends.
    """
    rest = '","a":[true,null,-12,-1.25e+10,"\\u00e9\\\\n",{"b":{}}],"c":"}","d":"e"}'
    for place in range(len(rest)):
        text = '{"p":"' + "x" * (end - 6 - place) + rest
        found = parse_response(text, kb.models)
        assert isinstance(found, ParsedResponse), text[end - 10 :]
        assert found.value == json.loads(text, parse_float=Decimal)


def test_faults_of_a_long_object_are_the_ones_of_a_short_one(kb: KnowledgeBase) -> None:
    """A constant that is not JSON, and a field with two values, are found at any place."""
    for fault, rule in (("-Infinity", "reply.json"), ('1,"a":2', "reply.repeated_field")):
        for length in range(2_000, 2_060):
            found = parse_response('{"p":"' + "x" * length + f'","a":{fault}}}', kb.models)
            assert isinstance(found, Finding)
            assert found.rule == rule
